//! A webhook request of Meta, taken apart: `entry[] x changes[] x (messages[] + statuses[] + errors[])`.
//!
//! One request may carry several of our numbers and many people. Each element is routed by the number that it came to,
//! and each stands for itself: one that cannot be read leaves its neighbours alone.

use serde_json::Value;
use solmu_proto::types::v1::Channel;

use super::{message, status};
use crate::{batch::Batch, json};

/// Whom a change is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// Our account.
    pub(crate) account: String,
    /// False for a number that is not configured.
    pub(crate) known: bool,
}

/// Reads a request; `route` finds the account of a `phone_number_id`.
pub(crate) fn read(body: &Value, route: impl Fn(&str) -> Route) -> Batch {
    let mut batch = Batch::default();
    let entries = json::list(body, "entry");
    if entries.is_empty() {
        batch.kept.push("no_entry");
    }
    for entry in entries {
        let changes = json::list(entry, "changes");
        if changes.is_empty() {
            batch.ignored.push("entry_without_changes");
        }
        for change in changes {
            read_change(change, &route, &mut batch);
        }
    }
    batch
}

fn read_change(change: &Value, route: &impl Fn(&str) -> Route, batch: &mut Batch) {
    let field = json::text_or_empty(change, "field");
    let Some(value) = json::object(change, "value") else {
        batch.kept.push("change_without_value");
        return;
    };
    if field != "messages" {
        batch.ignored.push(ignored_field(&field));
        return;
    }
    let number = json::text_or_empty(value, "metadata.phone_number_id");
    let change = Change {
        value,
        route: route(&number),
        number,
    };
    let (messages, statuses) = (json::list(value, "messages"), json::list(value, "statuses"));
    for element in messages {
        match message::read(&change, element) {
            Some(message) => batch.messages.push(message),
            None => batch.kept.push("message_without_sender"),
        }
    }
    for element in statuses {
        match status::read(&change, element) {
            status::Read::Report(report) => batch.reports.push(report),
            status::Read::OfNoInterest => batch.ignored.push("status"),
            status::Read::Unreadable => batch.kept.push("status_without_id"),
        }
    }
    // Errors of the number as a whole (rate limits, outages) are about no message.
    batch
        .ignored
        .extend(json::list(value, "errors").iter().map(|_| "value_error"));
    if messages.is_empty() && statuses.is_empty() && json::list(value, "errors").is_empty() {
        batch.kept.push("empty_value");
    }
}

/// One `changes[]` element of field "messages".
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// Its `value`.
    pub(crate) value: &'a Value,
    /// Whom it is for.
    pub(crate) route: Route,
    /// The number that it came to.
    pub(crate) number: String,
}

impl Change<'_> {
    pub(crate) const CHANNEL: Channel = Channel::Whatsapp;
}

/// A subscribed field that brings no customer's message, as a metric label.
fn ignored_field(field: &str) -> &'static str {
    match field {
        "smb_message_echoes" => "smb_message_echoes",
        "calls" => "calls",
        "account_update" => "account_update",
        "user_preferences" => "user_preferences",
        "message_template_status_update" => "message_template_status_update",
        "message_template_quality_update" => "message_template_quality_update",
        "group_lifecycle_update"
        | "group_participants_update"
        | "group_settings_update"
        | "group_status_update" => "group",
        _ => "other_field",
    }
}
