//! The webhooks as a provider sees them: over HTTP, in front of a desk that notes what it gets.

mod sendgrid;
mod ses;

use std::sync::Mutex;

use axum::http::Request;
use proptest::prelude::Strategy as _;
use solmu_domain::clock::FakeClock;
use solmu_mime::{
    mail::ParsedMail,
    parse::{ParseLimits, parse},
};
use solmu_proto::inbound::v1::DeliveryReported;
use tower::ServiceExt as _;

use super::*;
use crate::testing::{MULTIPART, Remembered, TOKEN, basic_header, hooks, multipart, raw};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// What Amazon has to say, by address or by webhook and key; and what it was asked.
#[derive(Debug, Clone, Default)]
struct FakeAmazon {
    pages: Arc<Mutex<HashMap<String, Bytes>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Get for FakeAmazon {
    async fn get(&self, url: &str, _: usize) -> Result<Bytes, GetError> {
        self.asked.lock().unwrap().push(url.to_owned());
        let page = self.pages.lock().unwrap().get(url).cloned();
        page.ok_or_else(|| "status 500".into())
    }

    async fn object_size(&self, hook: &str, key: &str) -> Result<u64, GetError> {
        let size = self.get(&format!("size {hook} {key}"), 0).await?;
        Ok(std::str::from_utf8(&size)?.parse()?)
    }

    async fn object(&self, hook: &str, key: &str, max_bytes: usize) -> Result<Bytes, GetError> {
        let object = self.get(&format!("{hook} {key}"), max_bytes).await?;
        assert!(object.len() <= max_bytes, "more than was announced");
        Ok(object)
    }
}

impl FakeAmazon {
    fn has(&self, url: &str, page: impl Into<Bytes>) {
        let mut pages = self.pages.lock().unwrap();
        pages.insert(url.to_owned(), page.into());
    }
}

/// A desk with the accounts "main", which is desk.example, and "other".
#[derive(Debug, Clone, Default)]
struct FakeDesk {
    mails: Arc<Mutex<Vec<ProviderMail>>>,
    reports: Arc<Mutex<Vec<DeliveryReported>>>,
}

impl Desk for FakeDesk {
    async fn take(&self, mail: ProviderMail) -> Result<(), Refusal> {
        let is_own = |address: &Address| address.domain() == "desk.example";
        let parsed = parse(&mail.raw, &ParseLimits::default());
        let written = parsed.fields.first("to").unwrap_or_default();
        let has_account = mail.recipients.iter().any(is_own)
            || written.contains("@desk.example")
            || self.has_account(&mail.fallback);
        if !has_account {
            return Err(Refusal::NoAccount);
        }
        self.mails.lock().unwrap().push(mail);
        Ok(())
    }

    async fn report(&self, reports: Vec<DeliveryReported>) -> Result<(), Refusal> {
        self.reports.lock().unwrap().extend(reports);
        Ok(())
    }

    fn has_account(&self, name: &str) -> bool {
        matches!(name, "main" | "other")
    }

    fn reporting_account(&self, _: &str) -> String {
        "main".to_owned()
    }
}

struct World {
    desk: FakeDesk,
    routes: Router,
    metrics: Metrics,
    amazon: FakeAmazon,
}

fn signer() -> Signer {
    Signer::new([("a".to_owned(), vec![1; 32])]).unwrap()
}

fn now() -> jiff::Timestamp {
    "2026-11-02T08:00:00Z".parse().unwrap()
}

fn world() -> World {
    world_with(&hooks())
}

fn world_with(hooks: &WebhooksConfig) -> World {
    let (desk, amazon, metrics) = (FakeDesk::default(), FakeAmazon::default(), Metrics::new());
    let parts = HookParts {
        desk: desk.clone(),
        amazon: amazon.clone(),
        memory: Remembered::default(),
        signer: signer(),
        clock: Arc::new(FakeClock::new(now())),
        metrics: metrics.clone(),
    };
    let routes = routes(hooks, parts).unwrap();
    World {
        desk,
        routes,
        metrics,
        amazon,
    }
}

impl World {
    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> u16 {
        let mut request = Request::post(format!("/webhooks/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        answer.status().as_u16()
    }

    fn mails(&self) -> Vec<(ProviderMail, ParsedMail)> {
        let mails = self.desk.mails.lock().unwrap().clone().into_iter();
        mails
            .map(|mail| {
                let parsed = parse(&mail.raw, &ParseLimits::default());
                (mail, parsed)
            })
            .collect()
    }

    fn counted(&self, line: &str) -> bool {
        let metrics = self.metrics.encode();
        metrics.lines().any(|it| it == line)
    }
}

#[test]
fn a_webhook_that_anybody_could_use_is_refused_at_start() {
    let changed = |change: &dyn Fn(&mut WebhooksConfig)| {
        let mut hooks = hooks();
        change(&mut hooks);
        check(&hooks, |name| name == "main")
    };
    assert_eq!(changed(&|_| {}), Ok(()));
    let without_secret: [&dyn Fn(&mut WebhooksConfig); 5] = [
        &|it| it.mailgun[0].signing_key = "".into(),
        &|it| it.sendgrid[0].path_token = "".into(),
        &|it| it.sendgrid[1].basic_password = "".into(),
        &|it| it.postmark[0].basic_password = "".into(),
        &|it| it.ses[0].topic_arns.clear(),
    ];
    for change in without_secret {
        assert!(matches!(changed(change), Err(HookError::Secret { .. })));
    }
    let bucket = |change: fn(&mut BucketConfig)| {
        let mut bucket = BucketConfig {
            name: "mail-in".to_owned(),
            region: "eu-north-1".to_owned(),
            ..BucketConfig::default()
        };
        change(&mut bucket);
        changed(&move |it| it.ses[0].bucket = Some(bucket.clone()))
    };
    assert_eq!(bucket(|_| ()), Ok(()));
    let odd: [fn(&mut BucketConfig); 6] = [
        |it| it.name = "a/../b".to_owned(),
        |it| it.name.clear(),
        |it| it.region = "eu north".to_owned(),
        |it| it.access_key_id = "AK".to_owned(),
        |it| it.endpoint = "minio:9000".to_owned(),
        |it| it.max_object_bytes = 0,
    ];
    for change in odd {
        assert!(matches!(bucket(change), Err(HookError::Hook { .. })));
    }
    let wrong: [&dyn Fn(&mut WebhooksConfig); 7] = [
        &|it| it.mailgun[0].name = "No/Name".to_owned(),
        &|it| it.mailgun.push(it.mailgun[0].clone()),
        &|it| it.mailgun[0].account = "gone".to_owned(),
        &|it| it.sendgrid[0].path_token = "short".into(),
        &|it| it.sendgrid[1].basic_user = String::new(),
        &|it| it.postmark[0].basic_user = "a:b".to_owned(),
        &|it| it.ses[0].topic_arns.push("mail".to_owned()),
    ];
    for change in wrong {
        assert!(matches!(changed(change), Err(HookError::Hook { .. })));
    }
    let keys: [&dyn Fn(&mut WebhooksConfig); 2] = [
        &|it| it.sendgrid[0].event_public_key = "AAAA".to_owned(),
        &|it| it.sendgrid[0].parse_public_key = "AAAA".to_owned(),
    ];
    for key in keys {
        assert!(matches!(changed(key), Err(HookError::Key { .. })));
    }
    let zero = changed(&|it| it.max_body_bytes = 0);
    assert_eq!(zero, Err(HookError::Zero("max_body_bytes")));
    assert_eq!(
        changed(&|it| it.max_waiting_bytes = 1),
        Err(HookError::Waiting)
    );
    assert!(WebhooksConfig::default().is_empty() && !hooks().is_empty());
}

#[tokio::test]
async fn sizes_are_limited_alone_and_together() {
    let world = world();
    let path = format!("sendgrid/parse/{TOKEN}");
    let huge = vec![b'x'; 200_001];
    assert_eq!(world.post(&path, &[MULTIPART], huge.clone()).await, 413);
    let announced = [MULTIPART, ("content-length", "200001")];
    assert_eq!(world.post(&path, &announced, Vec::new()).await, 413);
    // What has come counts, not what was announced: the last of these is over what one provider may have.
    let stuck = || {
        let sent =
            futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 150_000]))]);
        Body::from_stream(sent.chain(futures::stream::pending()))
    };
    let status = tokio::select! {
        biased;
        status = world.post(&path, &[MULTIPART], stuck()) => status,
        status = world.post(&path, &[MULTIPART], stuck()) => status,
        status = world.post(&path, &[MULTIPART], stuck()) => status,
    };
    assert_eq!(status, 503);
    assert!(world.counted("solmu_email_webhook_refused_total{vendor=\"sendgrid\",why=\"busy\"} 1"));
    // What carries no mail is not as large as mail.
    let sns = vec![b'x'; SNS_MAX_BYTES + 1];
    let large = world_with(&WebhooksConfig {
        max_body_bytes: 4_000_000,
        max_waiting_bytes: 8_000_000,
        ..hooks()
    });
    assert_eq!(large.post("ses/aws", &[], sns).await, 413);
    // Their places are free again, and nobody who cannot prove anything gets that far.
    let raw = raw(1);
    let good = multipart(&[("email", None, raw.as_bytes())]);
    assert_eq!(world.post(&path, &[MULTIPART], good).await, 200);
    assert_eq!(
        world
            .post("sendgrid/parse", &[MULTIPART], huge.clone())
            .await,
        401
    );
    assert_eq!(world.post("postmark/pm", &[], huge).await, 401);
    assert_eq!(world.post("postmark/none", &[], Vec::new()).await, 404);
}

#[tokio::test]
async fn a_desk_gets_what_the_provider_says_and_what_is_configured() {
    let world = world();
    let raw = raw(1);
    let envelope = br#"{"to":["support@desk.example","not an address"],"from":"<>"}"#;
    let body = multipart(&[
        ("email", None, raw.as_bytes()),
        ("envelope", None, envelope),
    ]);
    let basic = basic_header("post:secret");
    let headers = [MULTIPART, ("authorization", basic.as_str())];
    assert_eq!(world.post("sendgrid/basic", &headers, body).await, 200);
    let expected = ProviderMail {
        raw: Bytes::from(raw),
        mail_from: Some(String::new()),
        recipients: vec![Address::parse("support@desk.example").unwrap()],
        fallback: "main".to_owned(),
        authserv_id: String::new(),
        verdicts: None,
    };
    assert_eq!(*world.desk.mails.lock().unwrap(), [expected]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
    #[test]
    fn no_body_panics_and_every_one_is_answered(
        body in proptest::prop_oneof![
            proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            "--xYz\r\n(Content-Disposition: form-data; name=\"(email|headers|charsets|envelope|attachment1|text)\"\r\n)?\r\n(\\{[a-z:\",]{0,20}\\}|\\PC{0,20})\r\n--xYz--\r\n".prop_map(String::into_bytes),
            "\\{\"(FromFull|Headers|RawEmail|RecordType|Attachments|Message|Type)\": ?(\\[\\{\\}\\]|\\{\\}|null|1|\"[a-z<>@]{0,8}\")\\}".prop_map(String::into_bytes),
        ],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = world();
            let auth = basic_header("post:secret");
            let path = format!("sendgrid/parse/{TOKEN}");
            let events = format!("sendgrid/parse/events/{TOKEN}");
            let json = ("content-type", "application/json");
            for (path, header) in [
                (path.as_str(), MULTIPART),
                (&events, json),
                ("postmark/pm", ("authorization", auth.as_str())),
                ("mailgun/eu", FORM),
                ("mailgun/eu", MULTIPART),
                ("mailgun/eu", json),
                ("ses/aws", json),
            ] {
                let status = world.post(path, &[header], body.clone()).await;
                proptest::prop_assert!(matches!(status, 200 | 401 | 403 | 406), "{path}: {status}");
            }
            Ok(())
        })?;
    }
}
