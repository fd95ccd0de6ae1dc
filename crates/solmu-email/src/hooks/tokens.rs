//! Tokens of providers' signatures that were used, in the database that all processes share.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;
use solmu_db::{Db, ToSqlx as _};
use solmu_domain::clock::SharedClock;
use solmu_mailhooks::{Memory, MemoryError};

/// Seconds between two times that a process forgets what is too old.
const FORGET_SECONDS: i64 = 600;

/// The memory of all processes.
#[derive(Debug, Clone)]
pub(super) struct UsedTokens {
    db: Db,
    clock: SharedClock,
    /// When this process forgot last, in seconds since 1970.
    forgot: Arc<AtomicI64>,
}

impl UsedTokens {
    pub(super) fn new(db: Db, clock: SharedClock) -> Self {
        Self {
            db,
            clock,
            forgot: Arc::default(),
        }
    }

    async fn forget(&self) -> Result<(), sqlx::Error> {
        let now = self.clock.now();
        let last = self.forgot.load(Ordering::Relaxed);
        if now.as_second() - last < FORGET_SECONDS {
            return Ok(());
        }
        let turn = self.forgot.compare_exchange(
            last,
            now.as_second(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if turn.is_ok() {
            sqlx::query("DELETE FROM email.hook_token WHERE expires_at < $1")
                .bind(now.to_sqlx())
                .execute(self.db.pool())
                .await?;
        }
        Ok(())
    }

    async fn first(
        &self,
        token: [u8; 32],
        content: [u8; 32],
        until: Timestamp,
    ) -> Result<[u8; 32], sqlx::Error> {
        self.forget().await?;
        // The row is written or waited for in one step: of two at the same moment the second sees the first.
        let known: Vec<u8> = sqlx::query_scalar(
            "INSERT INTO email.hook_token AS known (token, content, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (token) DO UPDATE SET expires_at = greatest(known.expires_at, excluded.expires_at)
             RETURNING content",
        )
        .bind(&token[..])
        .bind(&content[..])
        .bind(until.to_sqlx())
        .fetch_one(self.db.pool())
        .await?;
        // What is no digest is nobody's content.
        Ok(known.try_into().unwrap_or_default())
    }
}

impl Memory for UsedTokens {
    async fn first_content(
        &self,
        token: [u8; 32],
        content: [u8; 32],
        until: Timestamp,
    ) -> Result<[u8; 32], MemoryError> {
        Ok(self.first(token, content, until).await?)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use solmu_testkit::Harness;

    use super::*;

    #[tokio::test]
    async fn of_many_at_once_one_content_is_first_everywhere() {
        let harness = Harness::new().await;
        let clock: SharedClock = Arc::new(harness.clock.clone());
        let until = clock.now() + SignedDuration::from_hours(1);
        let memory = || UsedTokens::new(harness.db.clone(), Arc::clone(&clock));
        let (one, two) = (memory(), memory());
        let asked = (0..20_u8).map(|content| {
            let memory = if content % 2 == 0 { &one } else { &two };
            memory.first_content([7; 32], [content; 32], until)
        });
        let first = futures::future::try_join_all(asked).await.unwrap();
        assert!(first.iter().all(|content| *content == first[0]));
        assert_eq!(
            two.first_content([8; 32], [1; 32], until).await.unwrap(),
            [1; 32]
        );

        let rows = async || -> i64 {
            sqlx::query_scalar("SELECT count(*) FROM email.hook_token")
                .fetch_one(harness.db.pool())
                .await
                .unwrap()
        };
        assert_eq!(rows().await, 2);
        harness.clock.advance(SignedDuration::from_hours(2));
        let later = clock.now() + SignedDuration::from_hours(1);
        one.first_content([9; 32], [1; 32], later).await.unwrap();
        assert_eq!(rows().await, 1, "what is too old is forgotten");
    }
}
