//! Brings tickets together that a mail shows to be one thread.
//!
//! Answers overtake what they answer, so parts of one thread may open tickets of their own before the mail comes that
//! ties them together. Order of arrival must not matter: then the younger ticket becomes part of the older one. Only a
//! ticket on which nobody of us has worked is moved; between two that people know the mail makes a link, and they
//! decide. A ticket that was opened in this very batch dissolves: nobody has seen it, so nothing is left of it.

use uuid::Uuid;

use super::{
    plan::Plan,
    words::notice,
    work::{Effect, Filed, Incoming, Link, LinkKind},
};
use crate::{
    events::actor,
    merge::{self, Merge},
    model::{Ticket, class_from_proto},
};
use solmu_domain::{ids::new_uuid, ticket::Status};
use solmu_proto::types::v1::actor::Kind;

/// Why, as events and people are told.
const REASON: &str = "a mail answers messages of both";

impl Plan<'_> {
    /// Merges what the mail shows to be of one thread with `joined`, and links what must not be merged. Returns where the
    /// mail goes, and the status of that ticket before.
    pub(super) fn unite(&mut self, incoming: &mut Incoming<'_>, joined: Uuid) -> (Uuid, Status) {
        let met =
            self.loaded
                .threads
                .met(incoming.message, &incoming.author, joined, self.config());
        let may = !incoming.author.failed();
        let (mut parts, mut apart): (Vec<Uuid>, Vec<Uuid>) = met
            .into_iter()
            .partition(|other| may && self.may_meet(joined, *other));
        parts.push(joined);
        parts.sort_by_key(|id| self.age(*id));
        let fixed: Vec<Uuid> = parts
            .iter()
            .copied()
            .filter(|id| !self.is_movable(*id))
            .collect();
        let target = if fixed.contains(&joined) {
            joined
        } else {
            fixed.first().or(parts.first()).copied().unwrap_or(joined)
        };
        let status = self.status(target);
        for part in parts {
            if part == target {
                continue;
            }
            if fixed.contains(&part) {
                apart.push(part);
            } else if self.opened.contains(&part) {
                self.dissolve(part, target);
            } else {
                self.merge(incoming, part, target);
            }
        }
        for other in apart {
            let number = self.shown_number(other);
            incoming.notices.push(notice::bridged(number));
            self.links.insert(Link {
                ticket: target,
                other,
                kind: LinkKind::SameThread,
            });
        }
        (target, status)
    }

    fn status(&self, id: Uuid) -> Status {
        self.ticket(id).map_or(Status::New, |ticket| ticket.status)
    }

    fn may_meet(&self, one: Uuid, other: Uuid) -> bool {
        let (Some(one), Some(other)) = (self.ticket(one), self.ticket(other)) else {
            return false;
        };
        let stands = |it: &Ticket| it.status != Status::Closed && it.merged_into.is_none();
        stands(one)
            && stands(other)
            && (one.channel, &one.account) == (other.channel, &other.account)
    }

    /// Whether nobody has worked on it, nothing leads to it but mails, and whoever sees the other one may see it.
    fn is_movable(&self, id: Uuid) -> bool {
        self.ticket(id).is_some_and(|ticket| {
            // What follows a closed ticket is where its customer's answers go.
            let follows = self.follows_closed(ticket);
            let open_to_all = ticket.restricted_to.is_none();
            !ticket.touched && ticket.status == Status::New && open_to_all && !follows
        })
    }

    fn follows_closed(&self, ticket: &Ticket) -> bool {
        let previous = ticket.previous_ticket_id.and_then(|id| self.ticket(id));
        let loaded = previous.is_some_and(|it| it.next_ticket_id == Some(ticket.id));
        loaded || self.loaded.threads.follow_ups.contains(&ticket.id)
    }

    /// Orders tickets, oldest first. Those of this batch have no number yet.
    fn age(&self, id: Uuid) -> (bool, i64) {
        match self.opened.iter().position(|opened| *opened == id) {
            Some(place) => (true, i64::try_from(place).unwrap_or(i64::MAX)),
            None => (false, self.ticket(id).map_or(0, |ticket| ticket.number)),
        }
    }

    /// Makes `source` part of `target`.
    fn merge(&mut self, incoming: &mut Incoming<'_>, source: Uuid, target: Uuid) {
        let threads = &mut self.loaded.threads;
        let [Some(from), Some(to)] = threads.tickets.get_disjoint_mut([&source, &target]) else {
            return;
        };
        incoming.notices.push(notice::merged(from.number));
        let members = threads
            .participants
            .get(&source)
            .cloned()
            .unwrap_or_default();
        let known = threads.participants.entry(target).or_default();
        let added: Vec<String> = members.difference(known).cloned().collect();
        known.extend(added.iter().cloned());
        self.participants
            .extend(added.iter().map(|address| (target, address.clone())));
        let merge = Merge {
            id: new_uuid(self.context.clock.as_ref(), self.context.rng.as_ref()),
            participants: added,
            actor: actor(Kind::Service, merge::ACTOR),
            reason: REASON.to_owned(),
            trace: incoming.trace.clone(),
            ..merge::join(from, to, self.now)
        };
        self.changed.insert(source);
        self.merges.push(merge);
        // Only what people write makes somebody take part.
        self.reply(target, !members.is_empty());
    }

    /// Files the messages of `source`, which this batch opened, on `target` instead.
    fn dissolve(&mut self, source: Uuid, target: Uuid) {
        let threads = &mut self.loaded.threads;
        threads.tickets.remove(&source);
        let members = threads.participants.remove(&source).unwrap_or_default();
        let known = threads.participants.entry(target).or_default();
        let added: Vec<String> = members.difference(known).cloned().collect();
        known.extend(added.iter().cloned());
        self.participants.retain(|(ticket, _)| *ticket != source);
        self.participants
            .extend(added.into_iter().map(|address| (target, address)));
        let ways = threads.keys.values_mut().map(|way| &mut way.ticket);
        let leads = ways.chain(threads.claims.values_mut());
        let noted = self.keys.iter_mut().chain(&mut self.moved_keys);
        let noted = noted.map(|(_, ticket)| ticket);
        let claimed = self.claims.iter_mut().map(|(_, ticket)| ticket);
        for ticket in leads.chain(noted).chain(claimed) {
            if *ticket == source {
                *ticket = target;
            }
        }
        let moved = |id: Uuid| if id == source { target } else { id };
        self.links = std::mem::take(&mut self.links)
            .into_iter()
            .map(|link| Link {
                ticket: moved(link.ticket),
                other: moved(link.other),
                ..link
            })
            .filter(|link| link.ticket != link.other)
            .collect();
        self.opened.retain(|opened| *opened != source);
        self.changed.remove(&source);
        let (theirs, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.filed)
            .into_iter()
            .partition(|filed| filed.ticket.id == source);
        self.filed = others;
        for filed in theirs {
            self.file_again(filed, target);
        }
    }
}

impl<'a> Plan<'a> {
    /// Files a message of this batch as the last one of `target`.
    fn file_again(&mut self, filed: Filed<'a>, target: Uuid) {
        let human = class_from_proto(filed.message.automatic_class()).is_human();
        let Some(status_before) = self.reply(target, human) else {
            return;
        };
        let Some(ticket) = self.ticket_mut(target) else {
            return;
        };
        ticket.message_count += 1;
        ticket.add_channel(filed.message.channel());
        let filed = Filed {
            sequence: ticket.message_count,
            ticket: ticket.clone(),
            effect: Effect::Joined { status_before },
            // A pair of which one ticket is gone.
            same: filed.same.filter(|it| it.opened.is_none()),
            ..filed
        };
        self.filed.push(filed);
    }
}
