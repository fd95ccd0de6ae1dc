//! A slow, busy or limited lane does not hold up the others.

use solmu_telemetry::vendor::Call;

use super::*;

/// Queues `count` messages in conversations of their own.
async fn queue_many(harness: &Harness, lane: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    for number in 0..count {
        let conversation = format!("{number}@{lane}");
        ids.push(queue(harness, &conversation, &format!("{lane} {number}")).await);
    }
    ids
}

fn sent_in(vendor: &FakeVendor, lane: &str) -> usize {
    let sent = vendor.sent();
    sent.iter().filter(|text| text.starts_with(lane)).count()
}

async fn all_are(harness: &Harness, ids: &[String], wanted: &str) {
    for id in ids {
        until(harness, id, wanted).await;
    }
}

#[tokio::test]
async fn a_lane_that_hangs_leaves_places_for_others() {
    let harness = Harness::new().await;
    let vendor = FakeVendor {
        hang_lane: Some("slow.example"),
        limits: LaneLimits {
            concurrency: 3,
            per_minute: 0,
        },
        ..FakeVendor::default()
    };
    // The slow ones are there first, more of them than one look at the table sees.
    queue_many(&harness, "slow.example", 200).await;
    let runtime = replica(&harness, "one", &vendor);
    wait_for("the slow ones", || async {
        sent_in(&vendor, "slow.example") > 0
    })
    .await;
    let fast = queue_many(&harness, "fast.example", 20).await;
    all_are(&harness, &fast, "sent").await;
    assert_eq!(sent_in(&vendor, "slow.example"), 3);
    drop(runtime);
}

#[tokio::test]
async fn a_throttled_lane_rests_alone() {
    let harness = Harness::new().await;
    let vendor = FakeVendor {
        limits: LaneLimits {
            concurrency: 1,
            per_minute: 0,
        },
        ..FakeVendor::default()
    };
    let throttled = SendOutcome::Throttled {
        rests: Rests::Lane,
        after: None,
        code: "421 4.7.0".to_owned(),
        text: String::new(),
    };
    vendor.answer("busy.example 0", [throttled]);
    let runtime = replica(&harness, "one", &vendor);
    let busy = queue_many(&harness, "busy.example", 5).await;
    let free = queue_many(&harness, "free.example", 5).await;
    all_are(&harness, &free, "sent").await;
    assert_eq!(sent_in(&vendor, "busy.example"), 1, "one was enough");
    assert_eq!(state(&harness, &busy[4]).await, "queued... with body");
    // The pause is half a minute and up to a fifth more; the message itself waits for some seconds only.
    harness.clock.advance(SignedDuration::from_secs(37));
    all_are(&harness, &busy, "sent").await;
    assert_eq!(sent_in(&vendor, "busy.example"), 6);
    stop(runtime).await;
}

#[tokio::test]
async fn a_throttled_conversation_waits_alone_and_as_long_as_it_was_told() {
    let harness = Harness::new().await;
    let vendor = FakeVendor::default();
    let throttled = SendOutcome::Throttled {
        rests: Rests::Conversation,
        after: Some(Duration::from_mins(10)),
        code: "429".to_owned(),
        text: String::new(),
    };
    vendor.answer("bot 0", [throttled]);
    let runtime = replica(&harness, "one", &vendor);
    let ids = queue_many(&harness, "bot", 4).await;
    all_are(&harness, &ids[1..], "sent").await;
    let vendors = VendorMetrics::new(&runtime.metrics);
    wait_for("it was counted", || async {
        vendors.count("telegram", Call::Send) == 1
    })
    .await;
    // The usual wait would be over by far.
    harness.clock.advance(SignedDuration::from_secs(300));
    let probe = queue(&harness, "9@bot", "bot 9").await;
    until(&harness, &probe, "sent").await;
    assert_eq!(sent_in(&vendor, "bot"), 5, "it was not tried again");
    harness.clock.advance(SignedDuration::from_secs(301));
    until(&harness, &ids[0], "sent").await;
    assert_eq!(vendors.count("telegram", Call::Send), 1);
    stop(runtime).await;
}

#[tokio::test]
async fn a_rate_is_kept_and_a_minute_later_it_goes_on() {
    let harness = Harness::new().await;
    let vendor = FakeVendor {
        limits: LaneLimits {
            concurrency: 0,
            per_minute: 4,
        },
        ..FakeVendor::default()
    };
    let runtime = replica(&harness, "one", &vendor);
    let limited = queue_many(&harness, "a.example", 10).await;
    let other = queue_many(&harness, "b.example", 4).await;
    all_are(&harness, &other, "sent").await;
    for (minute, wanted) in [(1, 4), (2, 8), (3, 10)] {
        wait_for("this minute's share", || async {
            sent_in(&vendor, "a.example") == wanted
        })
        .await;
        // Another conversation without a lane shows that the worker has looked again.
        let probe = queue(&harness, &format!("probe {minute}"), "probe").await;
        until(&harness, &probe, "sent").await;
        assert_eq!(sent_in(&vendor, "a.example"), wanted);
        harness.clock.advance(SignedDuration::from_secs(61));
    }
    all_are(&harness, &limited, "sent").await;
    stop(runtime).await;
}
