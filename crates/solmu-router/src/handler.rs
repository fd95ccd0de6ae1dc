//! The router on the bus: which events it hears, and what it says of them.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use solmu_bus::{Bus, Cause, ConsumerSpec, Delivered, Family, Handler, Held, Lane, Verdict};
use solmu_telemetry::TraceContext;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    core::event::{Heard, hear},
    engine::{Arrived, Engine},
    error::RoundError,
};

/// Counted failures before an event is dead-lettered.
const MAX_ATTEMPTS: u32 = 10;
/// How often the leader looks for work that no event tells of.
const TICK: Duration = Duration::from_secs(1);

/// What the router consumes: tickets and roster, each by the leader alone.
pub(crate) fn consumer(bus: &Bus, config: &Config) -> ConsumerSpec {
    let tickets = bus.subject_filter(Family::Tickets);
    let roster = bus.subject_filter(Family::Roster);
    ConsumerSpec {
        name: "router",
        lanes: Box::new(move |_| {
            vec![
                Lane {
                    stream: "TICKETS",
                    durable: "router_tickets".to_owned(),
                    filters: vec![tickets.clone()],
                    leased: true,
                },
                Lane {
                    stream: "DECISIONS",
                    durable: "router_roster".to_owned(),
                    filters: vec![roster.clone()],
                    leased: true,
                },
            ]
        }),
        max_events: config.max_events,
        linger: Duration::from_millis(config.linger_ms),
        max_attempts: MAX_ATTEMPTS,
    }
}

/// Hands events to the engine.
pub(crate) struct Ears {
    pub(crate) engine: Arc<Engine>,
}

impl Handler for Ears {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        held: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(self.decide(batch, held))
    }
}

impl Ears {
    async fn decide(&self, batch: &[Delivered], held: &Held) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Done; batch.len()];
        let mut arrived: Vec<(usize, Arrived)> = Vec::with_capacity(batch.len());
        for (index, delivered) in batch.iter().enumerate() {
            match hear(&delivered.event, TraceContext::of(&delivered.span)) {
                Ok(Heard::Nothing) => {}
                Ok(heard) => arrived.push((index, (delivered.event.id, heard))),
                Err(error) => verdicts[index] = Verdict::Reject(Cause::new("bad_event", &error)),
            }
        }
        if arrived.is_empty() {
            return verdicts;
        }
        let all = arrived.iter().map(|(_, event)| event.clone()).collect();
        let Err(error) = self.engine.round(all, held).await else {
            return verdicts;
        };
        if error.is_passing() || arrived.len() == 1 {
            for (index, _) in &arrived {
                verdicts[*index] = Verdict::Retry(error.to_cause());
            }
            return verdicts;
        }
        // One of them is to blame: it alone must not be done, whatever came with it.
        for (index, event) in arrived {
            if let Err(error) = self.engine.round(vec![event], held).await {
                verdicts[index] = Verdict::Retry(error.to_cause());
            }
        }
        verdicts
    }
}

/// A round if there is something to do without an event.
async fn look(engine: &Arc<Engine>, ours: &Held, asked: bool) -> Result<(), RoundError> {
    let somebody_left = engine.silence(ours).await?;
    if asked || somebody_left || engine.is_due(ours) {
        engine.round(Vec::new(), ours).await?;
    }
    engine.sweep().await
}

/// Does what no event asks for: takes over, continues long work, tries again what was held.
pub(crate) async fn tick(
    engine: Arc<Engine>,
    mut held: watch::Receiver<Held>,
    stop: CancellationToken,
) {
    let mut asked = false;
    loop {
        let ours = held.borrow_and_update().clone();
        if ours.is_empty() {
            engine.forget();
        } else if let Err(error) = look(&engine, &ours, asked).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "a round of routing failed; it is repeated");
        }
        asked = false;
        tokio::select! {
            () = stop.cancelled() => return,
            () = engine.asked.notified() => asked = true,
            changed = held.changed() => if changed.is_err() { return },
            () = engine.again.notified() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}
