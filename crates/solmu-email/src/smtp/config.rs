//! Configuration of the doors that mail comes in by: SMTP, SMTP over TLS, LMTP.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits and doors of the SMTP and LMTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpConfig {
    /// Bytes of a mail, as announced by SIZE (RFC 1870).
    pub max_message_bytes: usize,
    /// Bytes that all mails under way may hold in memory; a mail beyond that is told to come again (452). At least twice
    /// `max_message_bytes`, because a buffer that grows takes up to twice what is in it.
    pub max_buffered_bytes: usize,
    /// Recipients of one mail; RFC 5321 section 4.5.3.1.8 wants at least 100.
    pub max_recipients: usize,
    /// Connections at the same time; more are told to come again. LMTP has as many of its own.
    pub max_connections: usize,
    /// Connections of one address at the same time; IPv6 addresses are counted by their first 64 bits.
    pub max_connections_per_address: usize,
    /// Addresses of mail exchangers of our own, for which `max_connections_per_address` does not hold.
    pub exempt_addresses: Vec<IpAddr>,
    /// Bytes of a command line, its end included.
    pub max_command_bytes: usize,
    /// Refused commands after which the connection is closed. Each mail that is taken forgives half of those before it.
    pub max_errors: u32,
    /// Commands since the last mail that bring no mail nearer (NOOP, RSET, HELP, VRFY, a second EHLO), after which the
    /// connection is closed.
    pub max_idle_commands: u32,
    /// Mails in one connection.
    pub max_messages: u32,
    /// Received headers from which a mail is taken to go round in circles (RFC 5321 section 6.3).
    pub max_hops: usize,
    /// What becomes of a mail that comes by DATA with line feeds that no carriage return goes before (RFC 5321 section
    /// 2.3.8 forbids them). In a mail that comes by BDAT they always become CRLF: its length is announced, so nothing can
    /// be smuggled in it, and Exchange Online sends them.
    pub bare_lf: BareLf,
    /// Milliseconds to wait for a whole command (RFC 5321 section 4.5.3.2: five minutes).
    pub command_timeout_ms: u64,
    /// Milliseconds to wait for the next piece of a mail.
    pub data_timeout_ms: u64,
    /// Milliseconds for the whole of a mail's data.
    pub data_total_ms: u64,
    /// Bytes per second that a mail has to come with on average; 0 for any. Keeps a connection from being held by a
    /// sender that lets a byte drip now and then.
    pub min_bytes_per_second: u64,
    /// Milliseconds of a mail's data for which `min_bytes_per_second` does not hold yet.
    pub slow_start_ms: u64,
    /// Milliseconds after which a connection is closed between two commands.
    pub connection_total_ms: u64,
    /// Encryption.
    pub tls: SmtpTlsConfig,
    /// LMTP, for the hand-over from a mail server of our own.
    pub lmtp: LmtpConfig,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 35 * 1024 * 1024,
            max_buffered_bytes: 512 * 1024 * 1024,
            max_recipients: 100,
            max_connections: 256,
            max_connections_per_address: 20,
            exempt_addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            max_command_bytes: 2_048,
            max_errors: 20,
            max_idle_commands: 100,
            max_messages: 10_000,
            max_hops: 50,
            bare_lf: BareLf::default(),
            command_timeout_ms: 300_000,
            data_timeout_ms: 180_000,
            data_total_ms: 900_000,
            min_bytes_per_second: 128,
            slow_start_ms: 60_000,
            connection_total_ms: 3_600_000,
            tls: SmtpTlsConfig::default(),
            lmtp: LmtpConfig::default(),
        }
    }
}

/// What becomes of a mail with bare line feeds. Whatever is chosen: only CRLF, dot, CRLF ends a mail, and a lone dot
/// between line ends of any other kind makes it refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BareLf {
    /// It is refused with 550 5.6.11.
    #[default]
    Reject,
    /// Each becomes CRLF, for devices and scripts that know no better.
    Normalise,
}

/// Encryption of SMTP connections: STARTTLS (RFC 3207), and TLS from the first byte.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpTlsConfig {
    /// PEM file with our certificate, the chain behind it. Read again when it changes, at most once a minute.
    pub certificate: Option<PathBuf>,
    /// PEM file with the certificate's private key.
    pub key: Option<PathBuf>,
    /// Whether a connection has to be encrypted. Has no effect without a certificate, save that `required` without one
    /// is an error.
    pub required: TlsUse,
    /// Address and port where TLS starts with the first byte (RFC 8314). Needs a certificate.
    pub listen: Option<SocketAddr>,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsUse {
    /// STARTTLS is not offered.
    Never,
    /// STARTTLS is offered.
    #[default]
    Offered,
    /// MAIL is refused without it. RFC 3207 section 4 forbids this for an exchanger that the whole world writes to.
    Required,
}

/// LMTP (RFC 2033): as SMTP, but with an answer for each recipient. Only for a mail server of ours: it must not be
/// reachable from outside, for what comes in here counts as checked by that server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LmtpConfig {
    /// Address and port, best on loopback (port 24 by RFC 2033, which needs privileges).
    pub listen: Option<SocketAddr>,
    /// Path of a unix socket.
    pub socket: Option<PathBuf>,
    /// Octal file mode of that socket: who may write to it, may hand in mail.
    pub socket_mode: String,
}

impl Default for LmtpConfig {
    fn default() -> Self {
        Self {
            listen: None,
            socket: None,
            socket_mode: "0660".to_owned(),
        }
    }
}

impl LmtpConfig {
    /// The file mode as a number, if it is one.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        u32::from_str_radix(&self.socket_mode, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
    }
}

impl SmtpConfig {
    /// What cannot be so, by the name of the key and why.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let tls = &self.tls;
        if tls.certificate.is_some() != tls.key.is_some() {
            problems.push(("smtp.tls", "'certificate' and 'key' belong together"));
        }
        let wanted = tls.required == TlsUse::Required || tls.listen.is_some();
        if wanted && tls.certificate.is_none() {
            problems.push((
                "smtp.tls",
                "'required' and 'listen' need a 'certificate' and a 'key'",
            ));
        }
        if tls.required == TlsUse::Never && tls.listen.is_some() {
            problems.push(("smtp.tls", "'listen' and 'never' contradict each other"));
        }
        if self.lmtp.socket.is_some() && self.lmtp.mode().is_none() {
            problems.push((
                "smtp.lmtp.socket_mode",
                "must be an octal file mode, such as 0660",
            ));
        }
        // A buffer that grows takes up to twice what is in it.
        if self.max_buffered_bytes / 2 < self.max_message_bytes {
            problems.push((
                "smtp.max_buffered_bytes",
                "must be at least twice 'smtp.max_message_bytes'",
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_found() {
        let base = SmtpConfig::default();
        assert_eq!(base.problems(), []);
        let with = |change: &dyn Fn(&mut SmtpConfig)| {
            let mut config = base.clone();
            change(&mut config);
            config.problems().len()
        };
        assert_eq!(with(&|c| c.tls.certificate = Some("c.pem".into())), 1);
        assert_eq!(with(&|c| c.tls.required = TlsUse::Required), 1);
        assert_eq!(
            with(&|c| c.tls.listen = Some(([127, 0, 0, 1], 465).into())),
            1
        );
        assert_eq!(with(&|c| c.max_buffered_bytes = 1), 1);
        let socket = |mode: &'static str| {
            with(&|c| {
                c.lmtp.socket = Some("lmtp.sock".into());
                c.lmtp.socket_mode = mode.to_owned();
            })
        };
        assert_eq!((socket("0660"), socket("rw"), socket("7777")), (0, 1, 1));
        assert_eq!(
            with(&|c| {
                c.tls.certificate = Some("c.pem".into());
                c.tls.key = Some("k.pem".into());
                c.tls.required = TlsUse::Required;
            }),
            0
        );
    }
}
