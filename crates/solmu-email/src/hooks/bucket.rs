//! Buckets that Amazon SES stores mail in.
//!
//! Where to fetch from, and as whom, stands in the configuration; a request names nothing but an object in it. So no
//! request can make us go anywhere else.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt as _;
use object_store::{
    ClientOptions, ObjectStoreExt as _, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};
use solmu_mailhooks::{BucketConfig, HookError, SesHook};

/// For a whole request. SNS itself waits for 15 seconds and comes again.
const REQUEST: Duration = Duration::from_secs(20);
/// For a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Repeats of a failed request: the provider comes again anyway.
const RETRIES: usize = 2;

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum BucketError {
    #[error("the webhook has no bucket")]
    None,
    #[error("not a key of an object")]
    Key(#[source] object_store::path::Error),
    #[error("the bucket failed")]
    Backend(#[from] object_store::Error),
    #[error("the object is larger than {0} bytes")]
    TooLarge(usize),
}

/// The buckets of all webhooks, by the name of the webhook.
#[derive(Debug)]
pub(super) struct Buckets(HashMap<String, Arc<AmazonS3>>);

impl Buckets {
    pub(super) fn new(hooks: &[SesHook]) -> Result<Self, HookError> {
        let mut buckets = HashMap::new();
        for hook in hooks {
            let Some(config) = &hook.bucket else { continue };
            let bucket = open(config).map_err(|error| {
                tracing::error!(
                    webhook = hook.name,
                    error = &error as &dyn std::error::Error,
                    "the bucket of a webhook cannot be used"
                );
                HookError::Bucket {
                    name: hook.name.clone(),
                }
            })?;
            buckets.insert(hook.name.clone(), Arc::new(bucket));
        }
        Ok(Self(buckets))
    }

    fn place(&self, hook: &str, key: &str) -> Result<(&AmazonS3, Path), BucketError> {
        let bucket = self.0.get(hook).ok_or(BucketError::None)?;
        Ok((bucket, Path::parse(key).map_err(BucketError::Key)?))
    }

    pub(super) async fn size(&self, hook: &str, key: &str) -> Result<u64, BucketError> {
        let (bucket, path) = self.place(hook, key)?;
        Ok(bucket.head(&path).await?.size)
    }

    /// An object of `max_bytes` at most, counted while it comes.
    pub(super) async fn get(
        &self,
        hook: &str,
        key: &str,
        max_bytes: usize,
    ) -> Result<Bytes, BucketError> {
        let (bucket, path) = self.place(hook, key)?;
        let mut chunks = bucket.get(&path).await?.into_stream();
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.try_next().await? {
            if whole.len() + chunk.len() > max_bytes {
                return Err(BucketError::TooLarge(max_bytes));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

fn open(config: &BucketConfig) -> Result<AmazonS3, object_store::Error> {
    let has_key = !config.access_key_id.is_empty();
    let builder = if has_key {
        AmazonS3Builder::new()
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(config.secret_access_key.expose())
    } else {
        AmazonS3Builder::from_env()
    };
    let options = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT)
        .with_allow_http(config.endpoint.starts_with("http://"));
    let retries = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: REQUEST,
        ..RetryConfig::default()
    };
    let builder = builder
        .with_bucket_name(&config.name)
        .with_region(&config.region)
        .with_client_options(options)
        .with_retry(retries);
    if config.endpoint.is_empty() {
        builder.build()
    } else {
        builder.with_endpoint(&config.endpoint).build()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::{Router, extract::Request, response::IntoResponse as _, routing::any};

    use super::*;

    type Asked = Arc<Mutex<Vec<(String, String)>>>;

    /// A service that speaks as much S3 as is asked of it: one object. Gives its address and what it was asked.
    async fn service(object: &'static [u8]) -> (String, Asked) {
        let asked = Asked::default();
        let noted = Arc::clone(&asked);
        let answer = move |request: Request| {
            let proof = request.headers().get("authorization");
            let proof = proof.map(|value| value.to_str().unwrap().to_owned());
            let place = format!("{} {}", request.method(), request.uri().path());
            let is_there = request.uri().path() == "/mail-in/in/ab%2Bc%3D";
            noted
                .lock()
                .unwrap()
                .push((place, proof.unwrap_or_default()));
            let body = if request.method() == "HEAD" || !is_there {
                &b""[..]
            } else {
                object
            };
            async move {
                if !is_there {
                    return axum::http::StatusCode::NOT_FOUND.into_response();
                }
                let headers = [
                    ("content-length", object.len().to_string()),
                    ("last-modified", "Sun, 22 Nov 2026 08:00:00 GMT".to_owned()),
                    ("etag", "\"x\"".to_owned()),
                ];
                (headers, body).into_response()
            }
        };
        let routes = Router::new().fallback(any(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (address, asked)
    }

    fn buckets(endpoint: String) -> Buckets {
        let hook = SesHook {
            name: "aws".to_owned(),
            bucket: Some(BucketConfig {
                name: "mail-in".to_owned(),
                region: "eu-north-1".to_owned(),
                endpoint,
                access_key_id: "AKTEST".to_owned(),
                secret_access_key: "very secret".into(),
                ..BucketConfig::default()
            }),
            ..SesHook::default()
        };
        Buckets::new(&[hook]).unwrap()
    }

    #[tokio::test]
    async fn objects_are_fetched_as_configured_and_within_their_size() {
        let (address, asked) = service(b"Subject: x\r\n\r\nhei\r\n").await;
        let buckets = buckets(address);
        assert_eq!(buckets.size("aws", "in/ab+c=").await.unwrap(), 19);
        let mail = buckets.get("aws", "in/ab+c=", 19).await.unwrap();
        assert_eq!(mail, "Subject: x\r\n\r\nhei\r\n");
        let error = buckets.get("aws", "in/ab+c=", 18).await.unwrap_err();
        assert!(matches!(error, BucketError::TooLarge(18)), "{error:?}");
        for (place, proof) in &*asked.lock().unwrap() {
            assert!(place.ends_with(" /mail-in/in/ab%2Bc%3D"), "{place}");
            assert!(proof.starts_with("AWS4-HMAC-SHA256 Credential=AKTEST/"));
            assert!(proof.contains("/eu-north-1/s3/aws4_request"), "{proof}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_an_error_and_no_key_leads_out() {
        let (address, asked) = service(b"x").await;
        let buckets = buckets(address);
        assert!(matches!(
            buckets.size("aws", "in/other").await,
            Err(BucketError::Backend(object_store::Error::NotFound { .. }))
        ));
        asked.lock().unwrap().clear();
        assert!(matches!(
            buckets.size("other", "in/ab+c=").await,
            Err(BucketError::None)
        ));
        for key in ["../other-bucket/x", "in/../../x", "in//x", "in/\u{7f}"] {
            let outcome = buckets.size("aws", key).await;
            assert!(matches!(outcome, Err(BucketError::Key(_))), "{key}");
        }
        assert!(asked.lock().unwrap().is_empty());
    }
}
