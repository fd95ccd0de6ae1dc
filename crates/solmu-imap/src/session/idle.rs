//! Waiting for mail (RFC 2177).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::{error::ImapError, wire::response::Response};

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woke {
    /// Mail has come, as the server says.
    News,
    /// The time is over.
    Time,
    /// We are to stop.
    Stop,
    /// The server does not want to do it after all.
    Unable,
}

impl Session {
    /// Waits for mail until `limit` is over. The caller looks into the folder afterwards in any case.
    pub(crate) async fn idle(
        &mut self,
        limit: Duration,
        stop: &CancellationToken,
    ) -> Result<Woke, ImapError> {
        if self.news {
            return Ok(Woke::News);
        }
        let until = Instant::now() + limit;
        let tag = self.send("IDLE").await?;
        if self.until_continue(&tag).await?.is_some() {
            return Ok(Woke::Unable);
        }
        let woke = loop {
            if self.news {
                break Woke::News;
            }
            tokio::select! {
                readable = self.framed.readable() => {
                    self.or_bye(readable)?;
                }
                () = sleep_until(until) => break Woke::Time,
                () = stop.cancelled() => break Woke::Stop,
            }
            if let Response::Done { tag: ended, .. } = self.read().await?
                && ended == tag
            {
                // The server ended it by itself.
                return Ok(if self.news { Woke::News } else { Woke::Unable });
            }
        };
        self.send_more("DONE").await?;
        self.finish(&tag, |_| ()).await?;
        Ok(woke)
    }
}
