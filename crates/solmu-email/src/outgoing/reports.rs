//! What a mail that came in says about one that we sent.

use solmu_bus::envelope::to_proto_time;
use solmu_connector::outbound::is_bad_address;
use solmu_domain::signed::Signer;
use solmu_proto::{
    inbound::v1::DeliveryReported,
    types::v1::{AutomaticClass, Channel, DeliveryState},
};

use super::{dsn, verp};
use crate::{accounts::Account, message::Known};
use solmu_mime::reply_address::own_message;

/// What a bounce or a report says about a message of ours. Only with a signature of ours, in the returned Message-ID,
/// in the envelope id or in the return path: who has one of them has got the message.
#[must_use]
pub(crate) fn of(
    known: &Known<'_>,
    account: &Account,
    signer: &Signer,
) -> Option<DeliveryReported> {
    let bounce = known.classified.bounce.as_ref()?;
    let told = dsn::read(known.mail, signer);
    let by_id = bounce
        .message_id
        .as_deref()
        .and_then(|id| Some((own_message(id, signer)?.message, id.to_owned())));
    let by_envelope = || Some((told.as_ref()?.own?.message, String::new()));
    let by_path = || Some((verp::bounced(known.recipients, signer)?, String::new()));
    let (message, external_id) = by_id.or_else(by_envelope).or_else(by_path)?;
    let action = told.as_ref().map_or("", |told| told.action.as_str());
    let is_copy = told.as_ref().is_some_and(|told| told.is_copy);
    let state = match bounce.class {
        AutomaticClass::BounceHard | AutomaticClass::BounceSoft if is_copy => {
            // The customer's own mail may be well; only the address is worth telling.
            DeliveryState::Unspecified
        }
        AutomaticClass::BounceHard | AutomaticClass::BounceSoft => DeliveryState::Failed,
        // "relayed" and "expanded" say that nobody will tell more (RFC 3464 section 2.3.3).
        AutomaticClass::Report if action == "delivered" && !is_copy => DeliveryState::Delivered,
        _ => return None,
    };
    let delivered = state == DeliveryState::Delivered;
    let unless_delivered = |text: &str| {
        if delivered {
            String::new()
        } else {
            text.to_owned()
        }
    };
    Some(DeliveryReported {
        message_id: message.to_string(),
        channel: Channel::Email.into(),
        account: account.name.clone(),
        external_id,
        state: state.into(),
        report_time: Some(to_proto_time(known.received)),
        error_code: unless_delivered(&bounce.status),
        error_text: unless_delivered(&bounce.diagnostic),
        address_invalid: !delivered && is_bad_address(&bounce.status),
        address: told.map(|told| told.address).unwrap_or_default(),
    })
}
