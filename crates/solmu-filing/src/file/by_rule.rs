//! Asks the rules that restrict tickets as they are opened, for what a batch opens.

use solmu_restrict::Text;
use sqlx::PgConnection;

use super::Plan;
use crate::{error::TicketError, restrict::by_rule::ask};

/// Restricts what a batch opens. Before it is written; the restrictions are written with it ([`super::follow_up`]).
pub(crate) async fn opened(tx: &mut PgConnection, plan: &mut Plan<'_>) -> Result<(), TicketError> {
    if plan.opened.is_empty() {
        return Ok(());
    }
    let rules = solmu_restrict::all(tx).await?;
    if rules.is_empty() {
        return Ok(());
    }
    for id in plan.opened.clone() {
        let first = plan.filed.iter().find(|filed| filed.ticket.id == id);
        let text = first.map_or_else(
            || Text::new("", "", ""),
            |it| Text::new(&it.message.subject, &it.message.text, &it.author.address),
        );
        let Some(ticket) = plan.ticket_mut(id) else {
            continue;
        };
        let Some(done) = ask(&rules, ticket, &text) else {
            continue;
        };
        let ticket = ticket.clone();
        for filed in plan.filed.iter_mut().filter(|filed| filed.ticket.id == id) {
            filed.ticket.team_id = ticket.team_id;
            filed.ticket.priority = ticket.priority;
            filed.ticket.tags.clone_from(&ticket.tags);
            filed.ticket.restricted_to.clone_from(&ticket.restricted_to);
        }
        plan.restricted.insert(id, done);
    }
    Ok(())
}
