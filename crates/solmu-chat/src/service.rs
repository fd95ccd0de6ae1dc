//! What the connections share, and how a session is opened.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use solmu_db::{Db, DbError};
use solmu_domain::{clock::SharedClock, ids::new_uuid, rng::SharedRng};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    config::Limits,
    frame::{Code, Hello},
    hub::Hub,
    metrics::ChatMetrics,
    session::{self, Closed, Session, new_token, token_hash},
    writer::Writer,
};
use solmu_connector::{
    address::{Proxies, subscriber},
    limit::Limiter,
};

/// Everything that the connections share.
#[derive(Debug)]
pub(crate) struct Service {
    /// Web sites that may connect, by inbox.
    pub(crate) inboxes: BTreeMap<String, Vec<String>>,
    /// The inbox of the test page, if there is one.
    pub(crate) test_page: bool,
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) hub: Hub,
    pub(crate) writer: Writer,
    pub(crate) limits: Limits,
    pub(crate) heartbeat: Duration,
    pub(crate) session_days: u32,
    pub(crate) proxies: Proxies,
    pub(crate) messages: Limiter<Uuid>,
    pub(crate) sessions: Limiter<IpAddr>,
    pub(crate) marked: Arc<Notify>,
    pub(crate) metrics: ChatMetrics,
    pub(crate) tasks: TaskTracker,
    pub(crate) drain: CancellationToken,
}

/// Why a session is not opened.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// Tell the visitor's side this.
    Refused { code: Code, wait: Option<Duration> },
    /// The database is away.
    Db(DbError),
}

impl From<DbError> for NotOpened {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl Service {
    /// Opens the session of a token, or a new one where there is no token. Returns it with its token.
    ///
    /// A token that opens nothing is refused, not replaced: the visitor's side must know that its history is gone.
    pub(crate) async fn open(
        &self,
        inbox: &str,
        client: IpAddr,
        hello: &Hello,
        token: Option<String>,
    ) -> Result<(Session, String), NotOpened> {
        let now = self.clock.now();
        if let Some(token) = token {
            let opened = session::open(
                &self.db,
                inbox,
                &token_hash(&token),
                &hello.visitor,
                now,
                self.session_days,
            )
            .await?;
            let refused = |closed| match closed {
                Closed::Unknown => Code::SessionUnknown,
                Closed::Ended => Code::SessionEnded,
            };
            return opened
                .map(|session| (session, token))
                .map_err(|closed| NotOpened::Refused {
                    code: refused(closed),
                    wait: None,
                });
        }
        self.sessions
            .check(&subscriber(client))
            .map_err(|wait| NotOpened::Refused {
                code: Code::TooManySessions,
                wait: Some(wait),
            })?;
        let token = new_token(&*self.rng);
        let session = Session {
            id: new_uuid(&*self.clock, &*self.rng),
            inbox: inbox.to_owned(),
            visitor: hello.visitor.clone(),
            language: hello.language.clone(),
            last_seq: 0,
        };
        session::create(
            &self.db,
            &session,
            &token_hash(&token),
            now,
            self.session_days,
        )
        .await?;
        Ok((session, token))
    }
}
