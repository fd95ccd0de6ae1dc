//! A text that is too long for one message goes as several, in order.

use std::time::Duration;

use solmu_connector::outbound::SendOutcome;

/// Longest wait that the vendor may ask for between two parts; beyond it the rest is given up.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Sends `parts` one after the other; `Sent` with the id of the last.
///
/// Once a part has gone, the message must not be tried again from the start: a failure after it is reported as such.
pub(crate) async fn send_parts<F: Future<Output = SendOutcome>>(
    parts: &[&str],
    send: impl Fn(usize, &str) -> F,
) -> SendOutcome {
    let mut last = SendOutcome::failed("empty", "there is no text to send");
    for (index, part) in parts.iter().enumerate() {
        last = send(index, part).await;
        if let (
            SendOutcome::Retry {
                after: Some(pause), ..
            }
            | SendOutcome::Throttled {
                after: Some(pause), ..
            },
            true,
        ) = (&last, index > 0)
            && *pause <= LONGEST_PAUSE
        {
            tokio::time::sleep(*pause).await;
            last = send(index, part).await;
        }
        if !matches!(last, SendOutcome::Sent { .. }) {
            return if index == 0 {
                last
            } else {
                partly(index, parts.len(), &last)
            };
        }
    }
    last
}

fn partly(sent: usize, all: usize, cause: &SendOutcome) -> SendOutcome {
    let code = match cause {
        SendOutcome::Retry { code, .. }
        | SendOutcome::Throttled { code, .. }
        | SendOutcome::Failed { code, .. }
        | SendOutcome::Unknown { code, .. } => code,
        SendOutcome::Sent { .. } => "",
    };
    SendOutcome::failed(
        "partly_sent",
        format!("{sent} of {all} parts went out, then: {code}"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use solmu_connector::outbound::Rests;

    use super::*;

    async fn run(outcomes: Vec<SendOutcome>) -> SendOutcome {
        let outcomes = Mutex::new(outcomes.into_iter());
        send_parts(&["a", "b"], |_, _| async {
            outcomes.lock().unwrap().next().unwrap()
        })
        .await
    }

    fn sent(id: &str) -> SendOutcome {
        SendOutcome::Sent {
            external_id: id.to_owned(),
        }
    }

    #[tokio::test]
    async fn a_failure_after_the_first_part_is_never_tried_from_the_start() {
        assert_eq!(run(vec![sent("1"), sent("2")]).await, sent("2"));
        assert_eq!(
            run(vec![SendOutcome::retry("busy", "")]).await,
            SendOutcome::retry("busy", "")
        );
        let outcome = run(vec![sent("1"), SendOutcome::retry("busy", "")]).await;
        assert!(matches!(outcome, SendOutcome::Failed { code, .. } if code == "partly_sent"));
        let pause = SendOutcome::Throttled {
            rests: Rests::Conversation,
            after: Some(Duration::from_millis(1)),
            code: "429".into(),
            text: String::new(),
        };
        assert_eq!(run(vec![sent("1"), pause, sent("2")]).await, sent("2"));
        assert!(matches!(
            send_parts(&[], |_, _| async { sent("1") }).await,
            SendOutcome::Failed { .. }
        ));
    }
}
