//! Questions to experts: what callers say is checked here, [`crate::experts`] does the rest.

use solmu_domain::contact::EmailAddress;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::ApiError;
use solmu_ticketwork::experts::Question;
use uuid::Uuid;

use super::uuid;
use crate::{
    calls::{checked_request_id, checked_text},
    config::Config,
    model::status_from_proto,
};

/// Experts of one question at most.
const MAX_EXPERTS: usize = 10;
/// Messages that go along at most.
const MAX_MESSAGES: usize = 50;
/// Longest name of an expert, in bytes.
const MAX_NAME: usize = 200;

/// What `request` asks, if it can be asked.
pub(crate) fn question(
    config: &Config,
    request: proto::ForwardToExpertRequest,
    ticket: Uuid,
    author: Actor,
) -> Result<Question, ApiError> {
    let status = match request.set_status {
        0 => None,
        _ => Some(
            status_from_proto(request.set_status())
                .ok_or_else(|| ApiError::invalid("set_status", "there is no such status"))?,
        ),
    };
    if request.to.is_empty() || request.to.len() > MAX_EXPERTS {
        return Err(ApiError::invalid(
            "to",
            format!("1 to {MAX_EXPERTS} experts"),
        ));
    }
    if request.message_ids.len() > MAX_MESSAGES {
        return Err(ApiError::invalid(
            "message_ids",
            format!("more than {MAX_MESSAGES} messages"),
        ));
    }
    let mut to: Vec<(EmailAddress, String)> = Vec::new();
    for mailbox in &request.to {
        let bad = |why: &str| ApiError::invalid("to", format!("'{}' {why}", mailbox.address));
        let address =
            EmailAddress::parse(&mailbox.address).map_err(|_| bad("is no e-mail address"))?;
        if to
            .iter()
            .any(|(known, _)| known.as_str() == address.as_str())
        {
            return Err(bad("stands there twice"));
        }
        // Our own desk would only hear itself.
        let starts = &config.agent_mail.start_addresses;
        if starts
            .iter()
            .any(|own| own.eq_ignore_ascii_case(address.as_str()))
        {
            return Err(bad("is an address of this desk"));
        }
        let name: String = mailbox.name.chars().filter(|c| !c.is_control()).collect();
        let end = name.floor_char_boundary(MAX_NAME);
        to.push((address, name[..end].to_owned()));
    }
    let messages: Result<Vec<Uuid>, ApiError> = request
        .message_ids
        .iter()
        .map(|id| uuid("message_ids", id))
        .collect();
    Ok(Question {
        ticket,
        to,
        text: checked_text(&request.text)?,
        messages: messages?,
        request_id: checked_request_id(request.request_id)?,
        author,
        status,
    })
}
