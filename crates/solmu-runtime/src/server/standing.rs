//! Streams end when their caller may no longer have them.
//!
//! A token is checked when a call begins. A stream can stay open for days, and in this time its token can be revoked or
//! expire, and its agent can leave a team whose tickets it tells of. So who has a stream open is asked for again every
//! few seconds, as for a new call.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use http_body::Frame;
use tonic::Status;

use crate::{
    access::{Access, Caller},
    api_error::ApiError,
    server::shares::Share,
};

/// How long a stream outlives the right to it, at most. Asking costs no query.
const CHECK: Duration = Duration::from_secs(2);

type Ended = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Who has a stream, and by which token.
pub(super) struct Standing {
    pub(super) access: Access,
    pub(super) token: String,
    pub(super) caller: Caller,
}

impl Standing {
    /// The answer, which ends with a status when the caller is no longer who the token says, and counts as one of the
    /// caller's streams as long as its body lives.
    pub(super) fn bound(self, response: Response, share: Share) -> Response {
        let ended: Ended = Box::pin(self.ended());
        response.map(|inner| {
            Body::new(Bound {
                inner,
                ended: Some(ended),
                _share: share,
            })
        })
    }

    /// Waits until the caller may have the stream no longer.
    async fn ended(self) -> Status {
        loop {
            tokio::time::sleep(CHECK).await;
            match self.access.authenticate(&self.token).await {
                Ok(now) if now == self.caller => {}
                Ok(_) => return changed().into(),
                Err(
                    error @ (ApiError::Unauthenticated { .. } | ApiError::PermissionDenied { .. }),
                ) => return error.into(),
                // Who cannot be asked for now is not refused.
                Err(_) => {}
            }
        }
    }
}

fn changed() -> ApiError {
    ApiError::Aborted {
        reason: "CALLER_CHANGED",
        message: "what you may see has changed: open the stream again, from its last cursor if it has one"
            .to_owned(),
    }
}

struct Bound {
    inner: Body,
    /// None when the stream was ended.
    ended: Option<Ended>,
    _share: Share,
}

impl HttpBody for Bound {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Some(ended) = &mut this.ended else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = ended.as_mut().poll(context) {
            this.ended = None;
            let trailers = status.into_http::<Body>().headers().clone();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut this.inner).poll_frame(context)
    }
}

#[cfg(test)]
mod tests {
    use solmu_testkit::Harness;

    use super::*;
    use crate::{access::bootstrap, server::shares::Shares, testing::runtime};

    /// The status that an open stream which says nothing ends with.
    async fn end(response: Response) -> Option<Status> {
        let mut body = response.into_body();
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let trailers = frame?.ok()?.into_trailers().ok()?;
        let rest = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert!(rest.is_none(), "nothing comes after the end");
        Status::from_header_map(&trailers)
    }

    fn silent() -> Response {
        let nothing = futures::stream::pending::<Result<Bytes, axum::Error>>();
        Response::new(Body::from_stream(nothing))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stream_ends_with_its_token_and_with_what_its_caller_may_see() {
        let harness = Harness::new().await;
        let runtime = runtime(&harness, "one");
        let access = Access::start(&runtime);
        let admin = bootstrap(&runtime.db, runtime.clock.as_ref(), runtime.rng.as_ref());
        let admin = admin.await.unwrap().expect("the database is fresh");
        let token = admin.token.expose().to_owned();
        let caller = access.authenticate(&token).await.unwrap();

        let shares = Shares::new(5);
        let open = |caller: &Caller| {
            let standing = Standing {
                access: access.clone(),
                token: token.clone(),
                caller: caller.clone(),
            };
            standing.bound(silent(), shares.take(caller).unwrap())
        };
        let changed = open(&Caller::new("another", caller.role, None));
        assert_eq!(end(changed).await.unwrap().code(), tonic::Code::Aborted);

        let standing = open(&caller);
        sqlx::query("UPDATE access.token SET revoke_time = now()")
            .execute(runtime.db.pool())
            .await
            .unwrap();
        let status = end(standing).await.unwrap();
        assert_eq!(status.code(), tonic::Code::Unauthenticated);
    }
}
