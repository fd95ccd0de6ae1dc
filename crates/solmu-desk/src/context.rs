//! What every part of the desk works with.

use solmu_bus::Bus;
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, ids::new_uuid, rng::SharedRng};
use solmu_proto::types::v1::Actor;
use solmu_runtime::{
    ApiError, Runtime,
    access::{Caller, Role, caller},
};
use solmu_tickets::{
    Desk, TicketError,
    desk::{Hands, actor_of},
};
use sqlx::{Postgres, pool::PoolConnection};
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// Who may read.
pub(crate) use solmu_tickets::desk::PEOPLE;
/// People: services look at nothing and write no answers by hand.
pub(crate) const STAFF: &[Role] = &[Role::Admin, Role::Agent];

/// What a call answers with.
pub(crate) type Answer<T> = Result<Response<T>, Status>;

/// Shared by the services of the desk.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) hands: Hands,
    runtime: Runtime,
}

impl Context {
    pub(crate) fn new(runtime: &Runtime, hands: Hands) -> Self {
        Self {
            clock: runtime.clock.clone(),
            rng: runtime.rng.clone(),
            db: runtime.db.clone(),
            bus: runtime.bus.clone(),
            hands,
            runtime: runtime.clone(),
        }
    }

    /// The settings of the desk.
    pub(crate) fn desk(&self) -> &Desk {
        &self.hands.config().desk
    }

    /// The size of a page and its token, as a request has them, with the greatest size.
    pub(crate) fn page<'a>(&self, size: i32, token: &'a str) -> (i32, &'a str, u32) {
        (size, token, self.hands.config().max_page_size)
    }

    /// Ends when the process takes no more work.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        self.runtime.shutdown.drain.clone().cancelled_owned()
    }

    /// A new id.
    pub(crate) fn new_id(&self) -> Uuid {
        new_uuid(self.clock.as_ref(), self.rng.as_ref())
    }

    /// A connection for several reads.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Postgres>, ApiError> {
        let connection = self.db.pool().acquire().await;
        Ok(connection.map_err(TicketError::from)?)
    }
}

/// A call of one of `roles`: who calls, as what they are told of, and what they ask.
pub(crate) fn called_by<T>(
    roles: &[Role],
    request: Request<T>,
) -> Result<(Caller, Actor, T), Status> {
    let caller = caller(&request)?.clone();
    caller.require(roles)?;
    let by = actor_of(&caller);
    Ok((caller, by, request.into_inner()))
}

/// A call of a person.
pub(crate) fn staff<T>(request: Request<T>) -> Result<(Caller, Actor, T), Status> {
    called_by(STAFF, request)
}
