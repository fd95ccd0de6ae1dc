//! What waits in the quarantine, page by page.

use solmu_client::Client;
use solmu_proto::ticket::v1::{ListQuarantineRequest, QuarantinedMessage};

use crate::connect::Session;

/// What waits, or what was rejected, at most `limit` messages.
pub async fn fetch(
    session: &Session,
    client: &Client,
    limit: usize,
    rejected: bool,
) -> anyhow::Result<Vec<QuarantinedMessage>> {
    let mut waiting = Vec::new();
    let mut page_token = String::new();
    while waiting.len() < limit {
        let page_size = i32::try_from((limit - waiting.len()).min(500)).unwrap_or(500);
        let request = ListQuarantineRequest {
            page_size,
            page_token,
            rejected,
        };
        let page = client
            .tickets()
            .list_quarantine(request)
            .await
            .map_err(|status| session.explain(status))?
            .into_inner();
        waiting.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    waiting.truncate(limit);
    Ok(waiting)
}
