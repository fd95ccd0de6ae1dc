//! A webhook of the started role on the real bus.

use solmu_bus::envelope::decode_message;
use solmu_connector::{Intake, IntakeConfig, ObjectStore};
use solmu_testkit::Harness;

use super::*;

#[tokio::test]
async fn the_answer_waits_for_the_bus() {
    let harness = Harness::new().await;
    let runtime = harness.runtime("one");
    let folder = tempfile::tempdir().unwrap();
    let store = ObjectStore::open_local(folder.path()).unwrap();
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let mut config = config(hooks());
    config.listen = "127.0.0.1:0".parse().unwrap();
    let started = crate::start(&runtime, config, &intake, &store)
        .await
        .unwrap();
    let routes = started.parts.http.unwrap();
    let post = async |number: u32| {
        let raw = raw(number);
        let body = multipart(&[("email", None, raw.as_bytes())]);
        let request = Request::post(format!("/webhooks/sendgrid/parse/{TOKEN}"))
            .header(MULTIPART.0, MULTIPART.1)
            .body(Body::from(body))
            .unwrap();
        routes
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let name = harness.bus.stream_name("INBOUND");
    let jetstream = async_nats::jetstream::new(harness.bus.client().clone());
    assert_eq!(post(1).await, 200);
    let stream = jetstream.get_stream(&name).await.unwrap();
    let last = stream.cached_info().state.last_sequence;
    let message = stream.get_raw_message(last).await.unwrap();
    let events = decode_message(Some(&message.headers), &message.payload).unwrap();
    let taken: MessageReceived = events[0].decode().unwrap();
    assert_eq!(taken.external_id, "1@c.example");

    jetstream.delete_stream(&name).await.unwrap();
    assert_eq!(post(2).await, 503);
    solmu_bus::streams::apply(&harness.bus, 1).await.unwrap();
    assert_eq!(post(2).await, 200);
    runtime.shutdown.drain.cancel();
    runtime.shutdown.stop.cancel();
}
