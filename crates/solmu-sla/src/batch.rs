//! A batch of ticket events, sorted by ticket and applied to the clocks: no IO but what the worker has read.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use solmu_db::DbError;
use solmu_domain::{
    ids::TicketId,
    sla::{ClockEvent, ClockEventKind, OnEdit, TicketStart},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    catalogue::{Catalogue, Choice, is_same_calendar},
    changes::Changes,
    error::FoldError,
    facts::TicketFacts,
    intake::{Arrival, Opening, What},
    policy_set::PolicySet,
    store::{clocks, erasure::Erased},
    tracked::{Decided, Promise, Tracked},
    unpromised::{Unpromised, start_of},
    worker::Worker,
};

/// What happened to one ticket in a batch.
#[derive(Debug, Default)]
pub(crate) struct Group {
    version: i64,
    opening: Option<Box<Opening>>,
    events: Vec<ClockEvent>,
    /// Tickets that became part of it.
    sources: Vec<(TicketId, Timestamp)>,
    /// What policies look at, as of the newest event that may have changed it.
    facts: Option<(Timestamp, Box<TicketFacts>)>,
    trace: TraceContext,
    /// Of its opening.
    first_trace: TraceContext,
}

impl Group {
    /// A ticket of whose contact or organisations something else is known now.
    pub(crate) fn seen_anew(version: i64, at: Timestamp, facts: Box<TicketFacts>) -> Self {
        Self {
            version,
            facts: Some((at, facts)),
            trace: TraceContext::current(),
            ..Self::default()
        }
    }

    /// Takes out of it what is older than the erasure of its contact.
    fn forget(&mut self, erased: &Erased, told_at: Timestamp) {
        let facts = self.facts.iter_mut().map(|(_, facts)| facts.as_mut());
        let opening = self.opening.iter_mut().map(|opening| &mut opening.facts);
        for facts in facts.chain(opening) {
            if erased.covers(facts.contact, told_at) {
                facts.erase();
            }
        }
    }
}

/// Cuts a batch so that in each part a ticket says at most once what policies look at. Parts are applied one after the
/// other: a ticket that became urgent and was not any more a minute later is what it would be had the events come alone.
pub(crate) fn waves<'a>(
    work: impl Iterator<Item = (&'a Arrival, &'a TraceContext)>,
) -> Vec<Vec<(&'a Arrival, &'a TraceContext)>> {
    let mut waves: Vec<Vec<_>> = Vec::new();
    // The part that each ticket is in, and whether it has said it there.
    let mut at: HashMap<TicketId, (usize, bool)> = HashMap::new();
    for (arrival, trace) in work {
        let says = arrival.facts().is_some();
        let mine = at.get(&arrival.ticket).copied().unwrap_or_default();
        let next = mine.0 + usize::from(says && mine.1);
        // A merge concerns two.
        let theirs = arrival
            .tickets()
            .filter_map(|id| at.get(&id))
            .map(|it| it.0);
        let wave = theirs.fold(next, usize::max);
        for id in arrival.tickets() {
            let said = at.get(&id).is_some_and(|it| it.0 == wave && it.1);
            at.insert(id, (wave, said || (says && id == arrival.ticket)));
        }
        waves.resize_with(waves.len().max(wave + 1), Vec::new);
        waves[wave].push((arrival, trace));
    }
    waves
}

/// Events by ticket.
pub(crate) fn group<'a>(
    work: impl Iterator<Item = (&'a Arrival, &'a TraceContext)>,
    erased: &Erased,
) -> BTreeMap<TicketId, Group> {
    let mut groups: BTreeMap<TicketId, Group> = BTreeMap::new();
    for (arrival, trace) in work {
        let group = groups.entry(arrival.ticket).or_default();
        let is_newest = arrival.version >= group.version;
        group.version = group.version.max(arrival.version);
        group.trace = trace.clone();
        match &arrival.what {
            What::Opened(opening) => {
                group.opening = Some(opening.clone());
                group.first_trace = trace.clone();
                group.forget(erased, arrival.told_at);
            }
            What::Clock(events, facts) => {
                group.events.extend(events.iter().cloned());
                if is_newest && facts.is_some() {
                    group.facts.clone_from(facts);
                    group.forget(erased, arrival.told_at);
                }
            }
            What::Merged { source, at } => {
                group.sources.push((*source, *at));
                let merged = ClockEvent::new(*at, ClockEventKind::Merged);
                let source = groups.entry(*source).or_default();
                source.events.push(merged);
                source.trace = trace.clone();
            }
            What::Unmerged { source, at } => {
                let from = source.to_string();
                let kind = ClockEventKind::Unabsorbed { from };
                group.events.push(ClockEvent::new(*at, kind));
                let unmerged = ClockEvent::new(*at, ClockEventKind::Unmerged);
                let source = groups.entry(*source).or_default();
                source.events.push(unmerged);
                source.trace = trace.clone();
            }
        }
    }
    groups
}

/// Tells tickets that have taken others in since when the customers of those wait.
pub(crate) fn absorptions(
    groups: &mut BTreeMap<TicketId, Group>,
    known: &HashMap<TicketId, Tracked>,
) {
    for group in groups.values_mut() {
        for (source, at) in std::mem::take(&mut group.sources) {
            let promise = known.get(&source).and_then(|it| it.promise.as_ref());
            let unanswered_since = promise.and_then(|promise| promise.clocks.unanswered_since(at));
            let from = Some(source.to_string());
            let kind = ClockEventKind::Absorbed {
                from,
                unanswered_since,
            };
            group.events.push(ClockEvent::new(at, kind));
        }
    }
}

/// The history of tickets that need it: those that are new here, and those with a late event.
pub(crate) async fn past_of(
    tx: &mut PgConnection,
    groups: &BTreeMap<TicketId, Group>,
    known: &HashMap<TicketId, Tracked>,
) -> Result<BTreeMap<TicketId, Vec<ClockEvent>>, DbError> {
    let needs = |(ticket, group): &(&TicketId, &Group)| match known.get(ticket) {
        None => group.opening.is_some(),
        Some(tracked) => {
            let promise = tracked.promise.as_ref();
            // Another policy may want all to be computed anew.
            let moves = group.facts.is_some();
            let waits = tracked.unpromised.is_some();
            waits || promise.is_some_and(|promise| moves || promise.is_late(&group.events))
        }
    };
    let tickets: Vec<TicketId> = groups.iter().filter(needs).map(|(id, _)| *id).collect();
    let mut past = clocks::event_list(tx, &tickets).await?;
    for ticket in tickets {
        past.entry(ticket).or_default();
    }
    Ok(past)
}

/// A batch in work.
pub(crate) struct Batch<'a> {
    worker: &'a Worker,
    catalogue: &'a Catalogue,
    pub(crate) changes: Changes,
    pub(crate) late: u64,
    pub(crate) waiting: u64,
    now: Timestamp,
}

impl<'a> Batch<'a> {
    pub(crate) const fn new(worker: &'a Worker, catalogue: &'a Catalogue, now: Timestamp) -> Self {
        Self {
            worker,
            catalogue,
            changes: Changes::new(now),
            late: 0,
            waiting: 0,
            now,
        }
    }

    /// Takes what happened to one ticket. `past` is there exactly when [`past_of`] says that it is needed.
    pub(crate) fn take(
        &mut self,
        ticket: TicketId,
        group: Group,
        known: Option<Tracked>,
        past: Option<Vec<ClockEvent>>,
    ) -> Result<(), FoldError> {
        match (known, group.opening) {
            (Some(tracked), _) => {
                let news = News {
                    version: group.version,
                    events: group.events,
                    facts: group.facts,
                    trace: group.trace,
                    is_new: false,
                };
                self.go_on(tracked, news, past)
            }
            (None, Some(opening)) => {
                let tracked = Tracked {
                    ticket,
                    version: group.version,
                    promise: None,
                    unpromised: None,
                    channel: opening.facts.channel.clone(),
                    booked: Vec::new(),
                    decided: Decided::default(),
                    trace: group.first_trace,
                    facts: Some(opening.facts.to_keep()),
                };
                let news = News {
                    version: group.version,
                    events: group.events,
                    facts: group.facts,
                    trace: group.trace,
                    is_new: true,
                };
                self.open(tracked, &opening, past.unwrap_or_default(), news)
            }
            (None, None) => {
                // Its opening was dead-lettered, and may be replayed; or it was before our time.
                self.waiting += group.events.len() as u64;
                self.changes.remember(ticket, &group.events);
                Ok(())
            }
        }
    }

    /// `events` are those that came before the opening did; what came with it and after it is in `news`.
    fn open(
        &mut self,
        mut tracked: Tracked,
        opening: &Opening,
        events: Vec<ClockEvent>,
        news: News,
    ) -> Result<(), FoldError> {
        let Some(choice) = self.catalogue.choose(&opening.facts) else {
            tracked.unpromised = Some(Box::new(Unpromised::new(opening, &events)));
            return self.go_on(tracked, news, Some(events));
        };
        let start = TicketStart {
            calendar: choice.calendars.key,
            calendars: choice.calendars.metrics,
            policy: choice.policies.to_string(),
            ..start_of(opening)
        };
        let terms = self.catalogue.terms(&choice.policies)?;
        let promise = Promise::open(choice.policies, start, events.clone(), &terms)?;
        tracked.promise = Some(promise);
        // What the same batch changed after the opening.
        self.go_on(tracked, news, Some(events))
    }

    fn go_on(
        &mut self,
        mut tracked: Tracked,
        mut news: News,
        past: Option<Vec<ClockEvent>>,
    ) -> Result<(), FoldError> {
        // What an older event says of the ticket is not so any more.
        news.facts = news.facts.filter(|_| news.version >= tracked.version);
        let mut learned = news.is_new;
        if let Some((_, facts)) = &news.facts {
            let kept = facts.to_keep();
            learned |= tracked.facts.as_ref() != Some(&kept);
            tracked.facts = Some(kept);
        }
        let Some(promise) = &mut tracked.promise else {
            return self.go_on_without(tracked, news, past.unwrap_or_default());
        };
        let facts = news.facts.take();
        let (at, moves) = match facts {
            Some((at, facts)) => (at, self.moves(promise, &facts)),
            None => (self.now, Moves::None),
        };
        if news.events.is_empty() && moves.is_none() && !learned {
            return Ok(());
        }
        let mut recompute = None;
        match moves {
            Moves::None => {}
            Moves::FromNowOn(set, events) => {
                promise.name_policy();
                // An edit of a policy may be dated later, and would win in a replay.
                let at = at.max(promise.clocks.last_event_at());
                let events = events.into_iter().map(|kind| ClockEvent::new(at, kind));
                news.events.extend(events);
                promise.policies = set;
            }
            Moves::Recompute(choice) => recompute = Some(choice),
        }
        self.changes.remember(tracked.ticket, &news.events);
        let late = promise.is_late(&news.events);
        let mut history = past.unwrap_or_default();
        if let Some(choice) = recompute {
            history.extend(news.events);
            let history = rebase(promise, history, choice, self.catalogue);
            let anew = history.iter().filter(|event| is_move(event)).cloned();
            self.changes.forget_moves(tracked.ticket);
            self.changes
                .remember(tracked.ticket, &anew.collect::<Vec<_>>());
            promise.replay(history, &self.catalogue.terms(&promise.policies)?)?;
        } else if late {
            self.late += 1;
            history.extend(news.events);
            promise.replay(history, &self.catalogue.terms(&promise.policies)?)?;
        } else {
            promise.apply(news.events, &self.catalogue.terms(&promise.policies)?)?;
        }
        let terms = self.catalogue.terms(&promise.policies)?;
        let notices = promise.tell_breaches(self.now, false, &terms)?;
        tracked.version = tracked.version.max(news.version);
        let maker = &self.worker.maker;
        self.changes
            .settle(tracked, notices, self.catalogue, &news.trace, maker)
    }

    /// A ticket without a policy: it may get its first one now.
    fn go_on_without(
        &mut self,
        mut tracked: Tracked,
        news: News,
        mut history: Vec<ClockEvent>,
    ) -> Result<(), FoldError> {
        let Some(mut kept) = tracked.unpromised.take() else {
            return Ok(());
        };
        self.changes.remember(tracked.ticket, &news.events);
        history.extend(news.events);
        kept.note_status(&history);
        let facts = news.facts;
        tracked.version = tracked.version.max(news.version);
        let moved_at = facts.as_ref().map(|(at, _)| *at);
        kept.facts = facts.map_or_else(|| kept.facts.clone(), |(_, facts)| *facts);
        let choice = self.catalogue.choose(&kept.facts);
        let (Some(at), Some(choice), true) = (moved_at, choice, kept.open) else {
            tracked.unpromised = Some(kept);
            self.changes.settle_without_promise(tracked);
            return Ok(());
        };
        let from_now_on = self.catalogue.on_edit(&choice.policies) == OnEdit::FromNowOn;
        let adopted = kept.adopt(choice, history, at, from_now_on, self.catalogue)?;
        self.changes.remember(tracked.ticket, &adopted.moves);
        let mut promise = adopted.promise;
        let terms = self.catalogue.terms(&promise.policies)?;
        let notices = promise.tell_breaches(self.now, false, &terms)?;
        tracked.promise = Some(promise);
        let maker = &self.worker.maker;
        self.changes
            .settle(tracked, notices, self.catalogue, &news.trace, maker)
    }

    /// What a ticket that has changed does with its policies and calendars.
    fn moves(&self, promise: &Promise, facts: &TicketFacts) -> Moves {
        let catalogue = self.catalogue;
        if promise.clocks.status().is_done() {
            return Moves::None;
        }
        let versions = catalogue.versions(&promise.policies);
        let sticky = versions.first().is_some_and(|it| it.row.terms.rules.sticky);
        let chosen = catalogue.choose(facts).filter(|_| !sticky);
        let other = chosen.filter(|it| !it.policies.is_same_but_for_versions(&promise.policies));
        if let Some(choice) = other {
            if catalogue.on_edit(&choice.policies) == OnEdit::Recompute {
                return Moves::Recompute(choice);
            }
            let to = choice.policies.to_string();
            let mut events = vec![ClockEventKind::Policy { to }];
            events.extend(calendar_move(promise, &choice));
            return Moves::FromNowOn(choice.policies, events);
        }
        if !catalogue.follows_team(&promise.policies) {
            return Moves::None;
        }
        let choice = Choice {
            policies: promise.policies.clone(),
            calendars: catalogue.calendars_of(&promise.policies, facts.team),
        };
        match calendar_move(promise, &choice) {
            None => Moves::None,
            Some(event) => Moves::FromNowOn(choice.policies, vec![event]),
        }
    }
}

/// What happened to a ticket that is known.
struct News {
    version: i64,
    events: Vec<ClockEvent>,
    facts: Option<(Timestamp, Box<TicketFacts>)>,
    trace: TraceContext,
    /// It was opened in this batch, so that it has to be stored in any case.
    is_new: bool,
}

/// What becomes of a ticket's terms.
#[derive(Debug, Default)]
enum Moves {
    #[default]
    None,
    FromNowOn(PolicySet, Vec<ClockEventKind>),
    Recompute(Choice),
}

impl Moves {
    const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// The event that moves a ticket to other calendars; None when it has them, in whatever version.
fn calendar_move(promise: &Promise, choice: &Choice) -> Option<ClockEventKind> {
    let (key, metrics) = (&choice.calendars.key, &choice.calendars.metrics);
    let own = promise.clocks.metric_calendars();
    let same = is_same_calendar(key, promise.clocks.calendar_key())
        && own.len() == metrics.len()
        && own.iter().all(|(metric, old)| {
            let new = metrics.get(metric);
            new.is_some_and(|new| is_same_calendar(new, old))
        });
    (!same).then(|| ClockEventKind::Calendar {
        to: key.clone(),
        metrics: metrics.clone(),
    })
}

/// Whether an event moved the ticket to other terms.
pub(crate) const fn is_move(event: &ClockEvent) -> bool {
    matches!(
        event.kind,
        ClockEventKind::Policy { .. } | ClockEventKind::Calendar { .. }
    )
}

/// Makes a ticket begin under other policies; answers with the history as it would have been under them.
pub(crate) fn rebase(
    promise: &mut Promise,
    history: Vec<ClockEvent>,
    choice: Choice,
    catalogue: &Catalogue,
) -> Vec<ClockEvent> {
    let team_of = |team: &Option<String>| -> Option<Uuid> { team.as_deref()?.parse().ok() };
    let at_opening = catalogue.calendars_of(&choice.policies, team_of(&promise.start.team));
    let follows = catalogue.follows_team(&choice.policies);
    promise.start.policy = choice.policies.to_string();
    promise.start.calendar = at_opening.key;
    promise.start.calendars = at_opening.metrics;
    let mut rebased = Vec::with_capacity(history.len());
    for event in history.into_iter().filter(|event| !is_move(event)) {
        let moved = match &event.kind {
            ClockEventKind::Team { to } if follows => {
                let calendars = catalogue.calendars_of(&choice.policies, team_of(to));
                Some(ClockEventKind::Calendar {
                    to: calendars.key,
                    metrics: calendars.metrics,
                })
            }
            _ => None,
        };
        let at = event.at;
        rebased.push(event);
        rebased.extend(moved.map(|kind| ClockEvent::new(at, kind)));
    }
    promise.policies = choice.policies;
    rebased
}
