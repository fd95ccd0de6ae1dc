//! Postfix as the relay: connections, acceptance, and the reports that it writes itself.
//!
//! A private instance in a temporary folder; it needs root, because Postfix does. Where either is missing the test says
//! so and passes.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use solmu_connector::InboundEvent;
use solmu_proto::{inbound::v1::DeliveryReported, types::v1::DeliveryState};
use solmu_testkit::wait_for;

use super::{
    peer::{Peer, Taken},
    told::incoming,
    *,
};
use crate::outgoing::{Notify, OutgoingConfig};

const PROGRAM: &str = "/usr/sbin/postfix";
/// Whoever owns the mailboxes: nobody.
const NOBODY: u32 = 65_534;

const MASTER: &str = "\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

struct Postfix {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Postfix {
    /// Delivers to paivi@c.example, knows nobody else there, and hands mail for desk.example to `desk`.
    async fn start(desk: SocketAddr) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let owner = id_of("postfix")?;
        if !Path::new(PROGRAM).exists() || fs::metadata(folder.path()).unwrap().uid() != 0 {
            return None;
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, user) in [("queue", 0), ("data", owner), ("mail", NOBODY), ("conf", 0)] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            chown(&path, Some(user), None).unwrap();
        }
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let place = folder.path().display();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\n\
             maillog_file = {place}/queue/log\nmaillog_file_prefixes = {place}\nmyhostname = relay.example\n\
             mydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
             smtpd_relay_restrictions = permit_mynetworks, reject\nsmtpd_reject_unlisted_recipient = no\n\
             virtual_mailbox_domains = c.example\nvirtual_mailbox_base = {place}/mail\n\
             virtual_mailbox_maps = inline:{{ {{ paivi@c.example = paivi/ }} }}\n\
             virtual_uid_maps = static:{NOBODY}\nvirtual_gid_maps = static:{NOBODY}\nvirtual_minimum_uid = 1\n\
             transport_maps = inline:{{ {{ desk.example = smtp:[127.0.0.1]:{} }} }}\nsmtp_host_lookup = native\n\
             alias_maps =\nalias_database =\nlocal_recipient_maps =\n",
            desk.port()
        );
        let conf = folder.path().join("conf");
        fs::write(conf.join("main.cf"), main).unwrap();
        let master = format!("{address} inet n - n - - smtpd\n{MASTER}");
        fs::write(conf.join("master.cf"), master).unwrap();
        let postfix = Self { folder, address };
        assert!(postfix.run("start"), "Postfix starts");
        Some(postfix)
    }

    fn run(&self, what: &str) -> bool {
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(self.folder.path().join("conf"));
        let quiet = command
            .arg(what)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("queue/log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.run("stop");
    }
}

fn id_of(user: &str) -> Option<u32> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(user))?;
    line.split(':').nth(2)?.parse().ok()
}

fn to(address: &str, number: u128) -> MessageQueued {
    let id = uuid::Uuid::from_u128(number);
    MessageQueued {
        message_id: id.to_string(),
        recipient: Some(Identity {
            value: address.to_owned(),
            ..Identity::default()
        }),
        ..queued()
    }
}

/// What our receiver makes of a report that Postfix has sent to us.
async fn understood(config: &Config, mail: &Taken) -> DeliveryReported {
    let raw = mail.lines.join("\r\n");
    let bench = bench(config);
    let incoming = incoming(&raw, "", &mail.recipients[0]);
    bench.receiver.receive(incoming).await.unwrap();
    let report = bench
        .desk
        .events()
        .into_iter()
        .find_map(|event| match event {
            InboundEvent::Delivery(report) => Some(*report),
            InboundEvent::Message(_) => None,
        });
    report.expect("a report about our message")
}

#[tokio::test]
async fn postfix_takes_our_mail_and_its_reports_come_back() {
    let desk = Peer::scripted(vec![]).await;
    let Some(postfix) = Postfix::start(desk.address).await else {
        eprintln!("Postfix is not here, or the test is not root: this test did not run");
        return;
    };
    let mut config = config(Some(postfix.address));
    let relay = config.accounts[0].relay.as_mut().unwrap();
    (relay.timeout_ms, relay.data_timeout_ms) = (20_000, 20_000);
    relay.notify = Notify::all();
    config.accounts[0].outgoing = OutgoingConfig {
        bounce_domain: "desk.example".to_owned(),
        ..OutgoingConfig::default()
    };
    let (_bench, sender) = sender_with(&config);
    wait_for("Postfix answers", || async {
        tokio::net::TcpStream::connect(postfix.address)
            .await
            .is_ok()
    })
    .await;
    let before = postfix.log().matches(": connect from").count();
    for number in 0..30 {
        let address = if number == 7 {
            "gone@c.example"
        } else {
            "paivi@c.example"
        };
        assert_eq!(summary(&sender.send(&to(address, number)).await), "sent");
    }
    wait_for("every report", || async { desk.seen().mails.len() == 30 }).await;
    let mut delivered = 0;
    for mail in desk.seen().mails {
        let report = understood(&config, &mail).await;
        let number = uuid::Uuid::parse_str(&report.message_id).unwrap().as_u128();
        if number == 7 {
            assert_eq!(report.state(), DeliveryState::Failed);
            assert_eq!(report.error_code, "5.1.1");
            assert!(report.address_invalid);
            assert_eq!(report.address, "gone@c.example");
        } else {
            assert_eq!(report.state(), DeliveryState::Delivered);
            delivered += 1;
        }
    }
    assert_eq!(delivered, 29);
    let connections = postfix.log().matches(": connect from").count();
    // Ours, and at most those by which the test asked whether Postfix is there.
    assert!(connections - before <= 2, "{}", postfix.log());
}
