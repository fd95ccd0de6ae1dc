//! The memory that requests under way may take together.
//!
//! Some of it is set apart for each provider: whoever floods the webhook of one, which needs no signature before the
//! body is here, leaves room for the others.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Refused, Vendor, config::WebhooksConfig};

/// All memory of all webhooks, counted in bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    shared: Semaphore,
    own: [Semaphore; Vendor::ALL.len()],
}

/// The part of one request, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<'a> {
    shared: (&'a Semaphore, SemaphorePermit<'a>),
    own: (&'a Semaphore, SemaphorePermit<'a>),
}

impl Budget {
    /// As much for each provider that has webhooks as its largest request takes, but no more than leaves room for one
    /// of the largest of all in what they share.
    pub(crate) fn new(config: &WebhooksConfig) -> Self {
        let used = Vendor::ALL.map(|vendor| config.has(vendor));
        let count = used.iter().filter(|used| **used).count().max(1);
        let all = config.max_waiting_bytes.min(Semaphore::MAX_PERMITS);
        let most = all.saturating_sub(config.max_body_bytes) / count;
        let reserve = |index: usize| {
            let vendor = Vendor::ALL[index];
            if used[index] {
                vendor.max_body_bytes(config).min(most)
            } else {
                0
            }
        };
        let own: [usize; Vendor::ALL.len()] = std::array::from_fn(reserve);
        let shared = all.saturating_sub(own.iter().sum());
        Self {
            shared: Semaphore::new(shared),
            own: own.map(Semaphore::new),
        }
    }

    /// A share of nothing yet.
    pub(crate) fn share(&self, vendor: Vendor) -> Result<Share<'_>, Refused> {
        let own = &self.own[vendor.index()];
        Ok(Share {
            shared: (&self.shared, take(&self.shared, 0)?),
            own: (own, take(own, 0)?),
        })
    }
}

impl Share<'_> {
    /// Takes `bytes` more: of the provider's own first.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        let (own, permit) = &mut self.own;
        let here = bytes.min(own.available_permits());
        // Another request may have been faster.
        let rest = match take(own, here) {
            Ok(more) => {
                permit.merge(more);
                bytes - here
            }
            Err(_) => bytes,
        };
        let (shared, permit) = &mut self.shared;
        permit.merge(take(shared, rest)?);
        Ok(())
    }
}

fn take(room: &Semaphore, bytes: usize) -> Result<SemaphorePermit<'_>, Refused> {
    let bytes = u32::try_from(bytes).map_err(|_| Refused::TooLarge)?;
    room.try_acquire_many(bytes).map_err(|_| Refused::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hooks;

    #[test]
    fn nobody_takes_what_is_set_apart_for_others() {
        let config = hooks();
        let budget = Budget::new(&config);
        // Two of the largest fit; a request of the largest size is always taken from a budget at rest.
        let mut shares = Vec::new();
        for _ in 0..10 {
            let mut share = budget.share(Vendor::Mailgun).unwrap();
            if share.grow(config.max_body_bytes).is_ok() {
                shares.push(share);
            }
        }
        assert_eq!(shares.len(), 1, "{budget:?}");
        let mut mailgun = budget.share(Vendor::Mailgun).unwrap();
        while mailgun.grow(1_000).is_ok() {}
        for other in [Vendor::Sendgrid, Vendor::Postmark, Vendor::Ses] {
            let mut share = budget.share(other).unwrap();
            assert!(share.grow(50_000).is_ok(), "{other:?}");
        }
        drop((shares, mailgun));
        let mut share = budget.share(Vendor::Ses).unwrap();
        assert!(share.grow(config.max_body_bytes).is_ok());
    }

    #[test]
    fn one_provider_alone_may_have_all() {
        let mut config = hooks();
        (config.sendgrid, config.postmark, config.ses) = (Vec::new(), Vec::new(), Vec::new());
        let budget = Budget::new(&config);
        let mut share = budget.share(Vendor::Mailgun).unwrap();
        assert!(share.grow(config.max_waiting_bytes).is_ok());
        assert!(matches!(share.grow(1), Err(Refused::Busy)));
    }
}
