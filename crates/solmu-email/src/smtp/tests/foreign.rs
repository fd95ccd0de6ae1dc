//! A client of another making talks to us: Python's smtplib over OpenSSL. Its dialogues are in `foreign.py`.

use std::process::Stdio;

use tokio::process::Command;

use super::{secured::with_tls, *};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_and_openssl() {
    let samples = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/smtp/tests");
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("lmtp.sock");
    let mut config = with_tls(TlsUse::Offered);
    config.smtp.lmtp.socket = Some(socket.clone());
    let running = run(config).await;
    let talking = Command::new("python3")
        .arg(samples.join("foreign.py"))
        .arg(running.address.port().to_string())
        .arg(running.smtps.unwrap().port().to_string())
        .arg(&socket)
        .arg(samples.join("tls/one.cert.pem"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = match timeout(PATIENCE * 4, talking).await.unwrap() {
        Ok(said) => said,
        Err(error) => {
            eprintln!("python3 is not here ({error}): this test did not run");
            return;
        }
    };
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    let mut ids: Vec<String> = running
        .bench
        .desk
        .messages()
        .into_iter()
        .map(|message| message.external_id)
        .collect();
    ids.sort();
    assert_eq!(
        ids,
        [
            "py1@c.example",
            "py2@c.example",
            "py3@c.example",
            "py4@c.example",
            "py4@c.example"
        ]
    );
}
