//! Attachments as JSON beside their message: they are read with it and never looked for.

use solmu_proto::types::v1::Attachment;

/// Attachments as they are stored.
pub fn attachments_to_json(attachments: &[Attachment]) -> String {
    let list: Vec<_> = attachments
        .iter()
        .map(|it| {
            serde_json::json!({
                "object_key": it.object_key, "filename": it.filename, "content_type": it.content_type,
                "size_bytes": it.size_bytes, "sha256": it.sha256, "content_id": it.content_id, "inline": it.inline,
            })
        })
        .collect();
    serde_json::Value::Array(list).to_string()
}

/// Attachments as they were stored.
pub fn attachments_from_json(stored: &serde_json::Value) -> Vec<Attachment> {
    let text =
        |it: &serde_json::Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let list = stored.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|it| Attachment {
            object_key: text(it, "object_key"),
            filename: text(it, "filename"),
            content_type: text(it, "content_type"),
            size_bytes: it["size_bytes"].as_i64().unwrap_or(0),
            sha256: text(it, "sha256"),
            content_id: text(it, "content_id"),
            inline: it["inline"].as_bool().unwrap_or(false),
        })
        .collect()
}
