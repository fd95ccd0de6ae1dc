//! What a program sees, and what nobody may do.

use super::*;

#[tokio::test]
async fn json_in_json_out() {
    let site = site(&Config::default());
    let form = site
        .get(
            "/forms/contact",
            &[
                ("accept", "application/json"),
                ("accept-language", "de, sv-FI;q=0.8"),
            ],
        )
        .await;
    let form = form.json();
    assert_eq!(
        (&form["language"], &form["fields"][0]["label"]),
        (&json!("sv"), &json!("Ditt namn"))
    );
    site.clock.advance(SignedDuration::from_secs(5));
    let token = form["_token"].as_str().unwrap();
    let answer = site.post_json(&good_json(token), &[]).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!(answer.json()["reference"].as_str().unwrap().len(), 11);
    let mut wrong = good_json(token);
    wrong["email"] = json!(7);
    wrong["alien"] = json!("x");
    let answer = site.post_json(&wrong, &[]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.errors()[0].0, "email");
    assert!(
        answer
            .errors()
            .contains(&("alien".to_owned(), "unknown".to_owned()))
    );
    assert_eq!(
        site.post_json(&json!([1]), &[]).await.status,
        StatusCode::BAD_REQUEST
    );
    let mut none = good_json(token);
    none.as_object_mut().unwrap().remove("_token");
    assert_eq!(
        site.post_json(&none, &[]).await.errors(),
        [("_token".to_owned(), "expired".to_owned())]
    );
}

#[tokio::test]
async fn servers_may_post_with_an_idempotency_key_where_the_form_says_so() {
    let form = FormDefinition {
        json_without_token: true,
        ..builtin::contact()
    };
    let site = site(&Config {
        forms: vec![form],
        ..Config::default()
    });
    let mut body = good_json("");
    body.as_object_mut().unwrap().remove("_token");
    let reference = |answer: Answer| answer.json()["reference"].as_str().unwrap().to_owned();
    let first = reference(site.post_json(&body, &[("idempotency-key", "k1")]).await);
    assert_eq!(
        reference(site.post_json(&body, &[("idempotency-key", "k1")]).await),
        first
    );
    assert_ne!(
        reference(site.post_json(&body, &[("idempotency-key", "k2")]).await),
        first
    );
    assert_ne!(
        reference(site.post_json(&body, &[]).await),
        reference(site.post_json(&body, &[]).await)
    );
}

#[tokio::test]
async fn other_sites_may_post_json_only_when_named() {
    let form = FormDefinition {
        allowed_origins: vec!["https://shop.example".to_owned()],
        ..builtin::contact()
    };
    let site = site(&Config {
        forms: vec![form],
        ..Config::default()
    });
    let token = site.token().await;
    let named = [("origin", "https://shop.example"), ("host", "help.example")];
    let answer = site.post_json(&good_json(&token), &named).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (StatusCode::CREATED, "https://shop.example")
    );
    assert_eq!(answer.header("vary"), "Origin");
    let own = site
        .post_json(
            &good_json(&token),
            &[("origin", "https://help.example"), ("host", "help.example")],
        )
        .await;
    assert_eq!(
        (own.status, own.header("access-control-allow-origin")),
        (StatusCode::CREATED, "")
    );
    let other = site
        .post_json(
            &good_json(&token),
            &[("origin", "https://evil.example"), ("host", "help.example")],
        )
        .await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    let preflight = |origin: &str| {
        Request::options("/forms/contact")
            .header("origin", origin)
            .body(Body::empty())
            .unwrap()
    };
    let yes = site.send(preflight("https://shop.example")).await;
    assert_eq!(
        (yes.status, yes.header("access-control-allow-headers")),
        (StatusCode::NO_CONTENT, "content-type, idempotency-key")
    );
    assert_eq!(
        site.send(preflight("https://evil.example")).await.status,
        StatusCode::FORBIDDEN
    );
    let page = site.get("/forms/contact", &[]).await;
    assert!(
        page.header("content-security-policy")
            .ends_with("frame-ancestors 'self' https://shop.example")
    );
}

#[tokio::test]
async fn rate_limits_by_address_and_by_e_mail() {
    let limits = |posts, mails| RateLimits {
        per_address: Rate { posts, seconds: 60 },
        per_email: Rate {
            posts: mails,
            seconds: 60,
        },
    };
    let of_address = site(&Config {
        rate_limits: limits(2, 100),
        ..Config::default()
    });
    let token = of_address.token().await;
    for expected in [
        StatusCode::SEE_OTHER,
        StatusCode::SEE_OTHER,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        assert_eq!(of_address.post_page(&good(&token)).await.status, expected);
    }
    of_address.clock.advance(SignedDuration::from_secs(30));
    assert_eq!(
        of_address.post_page(&good(&token)).await.status,
        StatusCode::SEE_OTHER
    );
    let of_email = site(&Config {
        rate_limits: limits(100, 1),
        ..Config::default()
    });
    let token = of_email.token().await;
    assert_eq!(
        of_email.post_json(&good_json(&token), &[]).await.status,
        StatusCode::CREATED
    );
    let answer = of_email.post_json(&good_json(&token), &[]).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, "61")
    );
    assert_eq!(answer.json()["error"]["retry_after_ms"], 60_000);
}

#[tokio::test]
async fn what_is_no_post_is_refused() {
    let site = site(&Config {
        body_limit_bytes: 2000,
        ..Config::default()
    });
    let large = site.post_page(&[("message", &"x".repeat(2000))]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let typed = |media: &str| {
        Request::post("/forms/contact")
            .header("content-type", media)
            .body(Body::from("x"))
            .unwrap()
    };
    for media in ["multipart/form-data; boundary=x", "text/plain", ""] {
        assert_eq!(
            site.send(typed(media)).await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{media}"
        );
    }
    assert_eq!(
        site.send(typed("application/json")).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        site.get("/forms/none", &[]).await.status,
        StatusCode::NOT_FOUND
    );
    let page = site
        .get(
            "/forms/contact?lang=xx",
            &[("accept-language", "fi-FI,fi;q=0.9")],
        )
        .await;
    assert!(page.body.contains("<html lang=\"fi\">"));
    assert_eq!(
        (
            page.header("cache-control"),
            page.header("x-content-type-options")
        ),
        ("no-store", "nosniff")
    );
    assert_eq!(
        site.get("/forms/assets/form.js", &[])
            .await
            .header("content-type"),
        "text/javascript; charset=utf-8"
    );
}
