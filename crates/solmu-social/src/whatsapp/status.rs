//! What became of a message of ours: `statuses[]`.

use serde_json::Value;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::ids::MessageId;
use solmu_proto::{inbound::v1::DeliveryReported, types::v1::DeliveryState};

use super::{envelope::Change, vendor_error};
use crate::json;

/// A status element.
#[derive(Debug, PartialEq)]
pub(crate) enum Read {
    /// A report.
    Report(DeliveryReported),
    /// A state that says nothing of delivery.
    OfNoInterest,
    /// It names no message or no state.
    Unreadable,
}

/// Reads one status. Our own id travels in `biz_opaque_callback_data`, because a status may come before the answer to
/// the request that sent the message.
pub(crate) fn read(change: &Change<'_>, status: &Value) -> Read {
    let (Some(external_id), Some(state)) = (json::text(status, "id"), json::text(status, "status"))
    else {
        return Read::Unreadable;
    };
    let state = match state.as_str() {
        "sent" => DeliveryState::Sent,
        "delivered" => DeliveryState::Delivered,
        "read" | "played" => DeliveryState::Read,
        "failed" => DeliveryState::Failed,
        _ => return Read::OfNoInterest,
    };
    let error = json::list(status, "errors").first();
    let code = error.and_then(|error| json::integer(error, "code"));
    let ours =
        json::text(status, "biz_opaque_callback_data").and_then(|id| id.parse::<MessageId>().ok());
    Read::Report(DeliveryReported {
        message_id: ours.map(|id| id.to_string()).unwrap_or_default(),
        channel: Change::CHANNEL.into(),
        account: change.route.account.clone(),
        external_id,
        state: state.into(),
        report_time: json::instant(status, "timestamp").map(to_proto_time),
        error_code: code.map(|code| code.to_string()).unwrap_or_default(),
        error_text: error
            .map(|error| error_text(code, error))
            .unwrap_or_default(),
        ..DeliveryReported::default()
    })
}

/// Our words where we know the code, else the vendor's title (which names no person).
fn error_text(code: Option<i64>, error: &Value) -> String {
    code.and_then(vendor_error::explain)
        .map_or_else(|| json::text_or_empty(error, "title"), str::to_owned)
}
