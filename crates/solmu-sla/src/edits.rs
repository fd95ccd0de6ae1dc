//! Brings an edit of a policy to the open tickets that have it, in batches under the lease, like timers.

use std::sync::Arc;

use solmu_db::{
    DbError,
    lease::{self, Held},
};
use solmu_domain::{
    ids::TicketId,
    sla::{ClockEvent, ClockEventKind},
};
use solmu_inquiry::{Owns, Watched};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;

use crate::{
    batch::{is_move, rebase},
    catalogue::{Catalogue, Choice},
    changes::{Changes, Written},
    error::FoldError,
    policy_set::PolicyKey,
    reconsider::ReconsiderError,
    store::{
        clocks,
        edits::{self, EditRow},
    },
    tracked::Tracked,
    worker::{NAME, Worker},
};

/// What was asked before the transaction.
#[derive(Debug, Default)]
struct Seen {
    asked: Watched,
    owns: Owns,
}

impl Worker {
    /// Takes the next batch of the oldest edit, if there is one.
    pub(crate) async fn apply_edit(&self, held: &Held, limit: u32) -> Result<(), ReconsiderError> {
        let seen = Arc::new(self.see_for_edit(limit).await?);
        let written = self
            .db
            .tx("sla.apply_edit", |tx| {
                let (worker, held, seen) = (self.clone(), held.clone(), seen.clone());
                Box::pin(async move { worker.apply_edit_in(tx, &held, limit, &seen).await })
            })
            .await?;
        if let Some(written) = &written {
            self.committed(written);
        }
        Ok(())
    }

    /// Asks for what policies look at of the contacts and organisations of tickets without a policy.
    async fn see_for_edit(&self, limit: u32) -> Result<Seen, ReconsiderError> {
        let connection = self.db.pool().acquire().await;
        let mut connection = connection.map_err(DbError::from)?;
        let catalogue = self.catalogue.current(&mut connection).await?;
        let asked = catalogue.watched().clone();
        if asked.is_empty() {
            return Ok(Seen::default());
        }
        let Some(edit) = edits::edit_peek(&mut connection).await? else {
            return Ok(Seen::default());
        };
        let facts = edits::edit_facts(&mut connection, &edit, limit).await?;
        drop(connection);
        let owns = self.owns_of(&asked, facts.iter()).await?;
        Ok(Seen { asked, owns })
    }

    async fn apply_edit_in(
        &self,
        tx: &mut PgConnection,
        held: &Held,
        limit: u32,
        seen: &Seen,
    ) -> Result<Option<Written>, DbError> {
        lease::fence(tx, NAME, held).await?;
        let Some(edit) = edits::edit_next(tx).await? else {
            return Ok(None);
        };
        let catalogue = self.catalogue.current(tx).await?;
        if !seen.asked.covers(catalogue.watched()) {
            // A policy that has come meanwhile looks at more: the next round asks for that, too.
            return Ok(None);
        }
        let Some(newest) = catalogue.current(edit.policy).map(|policy| policy.row.key) else {
            // It was taken away meanwhile: whoever has it keeps it.
            edits::edit_advance(tx, edit.id, None).await?;
            return Ok(Some(Written::default()));
        };
        let versions = (1..=newest.version).map(|version| PolicyKey { version, ..newest });
        let keys: Vec<String> = versions.map(|key| key.to_string()).collect();
        let tickets = edits::edit_tickets(tx, &edit, &keys, limit).await?;
        let known = clocks::clock_lock(tx, tickets.iter().copied()).await?;
        let needs_past = |ticket: &TicketId| {
            edit.recompute || known.get(ticket).is_some_and(|it| it.promise.is_none())
        };
        let with_past: Vec<TicketId> = tickets.iter().copied().filter(needs_past).collect();
        let mut past = clocks::event_list(tx, &with_past).await?;
        let now = self.maker.clock.now();
        let mut changes = Changes::new(now);
        for (ticket, mut tracked) in known {
            if let Some(kept) = &mut tracked.unpromised {
                kept.facts.see(&seen.owns);
            }
            let history = past.remove(&ticket).unwrap_or_default();
            let done = self.edit_one(tracked, &edit, newest, history, &catalogue, &mut changes);
            if let Err(error) = done {
                tracing::error!(ticket.id = %ticket, error = &error as &dyn std::error::Error, "an edited policy cannot be applied to a ticket; it keeps the version before");
                self.metrics.stuck_tickets.inc([]);
            }
        }
        let is_last = tickets.len() < limit as usize;
        let after = tickets.last().copied().filter(|_| !is_last);
        edits::edit_advance(tx, edit.id, after).await?;
        Ok(Some(changes.write(tx, &self.maker.bus).await?))
    }

    fn edit_one(
        &self,
        mut tracked: Tracked,
        edit: &EditRow,
        newest: PolicyKey,
        history: Vec<ClockEvent>,
        catalogue: &Catalogue,
        changes: &mut Changes,
    ) -> Result<(), FoldError> {
        let Some(promise) = &mut tracked.promise else {
            return self.give_first(tracked, edit, history, catalogue, changes);
        };
        let now = self.maker.clock.now();
        let set = promise.policies.with_version(newest);
        let team = promise.clocks.team().and_then(|team| team.parse().ok());
        let calendars = catalogue.calendars_of(&set, team);
        if edit.recompute {
            let choice = Choice {
                policies: set,
                calendars,
            };
            let history = rebase(promise, history, choice, catalogue);
            let moved: Vec<_> = history.iter().filter(|it| is_move(it)).cloned().collect();
            changes.forget_moves(tracked.ticket);
            changes.remember(tracked.ticket, &moved);
            promise.replay(history, &catalogue.terms(&promise.policies)?)?;
        } else {
            let at = now.max(promise.clocks.last_event_at());
            let mut events = Vec::new();
            if set != promise.policies {
                let to = set.to_string();
                events.push(ClockEvent::new(at, ClockEventKind::Policy { to }));
            }
            let has = (
                promise.clocks.calendar_key(),
                promise.clocks.metric_calendars(),
            );
            if has != (calendars.key.as_str(), &calendars.metrics) {
                let kind = ClockEventKind::Calendar {
                    to: calendars.key,
                    metrics: calendars.metrics,
                };
                events.push(ClockEvent::new(at, kind));
            }
            changes.remember(tracked.ticket, &events);
            promise.name_policy();
            promise.policies = set;
            promise.apply(events, &catalogue.terms(&promise.policies)?)?;
        }
        let terms = catalogue.terms(&promise.policies)?;
        let notices = promise.tell_breaches(now, false, &terms)?;
        let trace = TraceContext::current();
        changes.settle(tracked, notices, catalogue, &trace, &self.maker)
    }

    /// A ticket to which nothing is promised gets the policy, if it fits now.
    fn give_first(
        &self,
        mut tracked: Tracked,
        edit: &EditRow,
        history: Vec<ClockEvent>,
        catalogue: &Catalogue,
        changes: &mut Changes,
    ) -> Result<(), FoldError> {
        let kept = tracked.unpromised.as_ref();
        let Some((kept, choice)) = kept.and_then(|it| Some((it, catalogue.choose(&it.facts)?)))
        else {
            return Ok(());
        };
        let now = self.maker.clock.now();
        let adopted = kept.adopt(choice, history, now, !edit.recompute, catalogue)?;
        changes.remember(tracked.ticket, &adopted.moves);
        let mut promise = adopted.promise;
        let terms = catalogue.terms(&promise.policies)?;
        let notices = promise.tell_breaches(now, false, &terms)?;
        tracked.promise = Some(promise);
        tracked.unpromised = None;
        let trace = TraceContext::current();
        changes.settle(tracked, notices, catalogue, &trace, &self.maker)
    }
}
