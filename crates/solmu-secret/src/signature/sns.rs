//! Signatures of Amazon SNS: RSA over the message's fields, with a certificate that the message names.
//!
//! Anybody can name a certificate, so what counts is where it lies: only `https://sns.<region>.amazonaws.com` is
//! believed, and TLS proves that host when the certificate is fetched. And every AWS account can make SNS sign: a
//! signature proves Amazon, not the sender. The receiver must compare `TopicArn` with the topics that are its own.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use url::Url;
use webpki::EndEntityCert;

use super::{SignatureError, verdict};

/// A message of SNS as it is posted: the fields that are signed and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SnsMessage {
    /// `Notification`, `SubscriptionConfirmation` or `UnsubscribeConfirmation`.
    pub r#type: String,
    /// The same for each delivery of a message.
    pub message_id: String,
    /// The topic.
    pub topic_arn: String,
    /// What was published.
    pub message: String,
    /// When, in RFC 3339.
    pub timestamp: String,
    /// `1` is SHA-1, `2` is SHA-256.
    pub signature_version: String,
    /// Base64.
    pub signature: String,
    /// Where the certificate lies.
    #[serde(rename = "SigningCertURL")]
    pub signing_cert_url: String,
    /// Of a notification, if it has one.
    pub subject: Option<String>,
    /// Of the two confirmations.
    pub token: Option<String>,
    /// Of the two confirmations: a visit confirms.
    #[serde(rename = "SubscribeURL")]
    pub subscribe_url: Option<String>,
}

impl SnsMessage {
    /// What is signed: the present fields of the message's kind in alphabetical order, name and value on a line each.
    #[must_use]
    pub fn canonical(&self) -> String {
        let is_notification = self.r#type == "Notification";
        let of_notification = |field: &Option<String>| field.clone().filter(|_| is_notification);
        let of_confirmation = |field: &Option<String>| field.clone().filter(|_| !is_notification);
        let fields = [
            ("Message", Some(self.message.clone())),
            ("MessageId", Some(self.message_id.clone())),
            ("Subject", of_notification(&self.subject)),
            ("SubscribeURL", of_confirmation(&self.subscribe_url)),
            ("Timestamp", Some(self.timestamp.clone())),
            ("Token", of_confirmation(&self.token)),
            ("TopicArn", Some(self.topic_arn.clone())),
            ("Type", Some(self.r#type.clone())),
        ];
        let mut text = String::new();
        for (name, value) in fields {
            if let Some(value) = value {
                text.push_str(name);
                text.push('\n');
                text.push_str(&value);
                text.push('\n');
            }
        }
        text
    }

    /// Checks the signature with the certificate that [`Self::signing_cert_url`] names.
    pub fn verify(&self, certificate: &SnsCertificate) -> Result<(), SignatureError> {
        let algorithm: &'static RsaParameters = match self.signature_version.as_str() {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(SignatureError::Malformed("SignatureVersion")),
        };
        if self.signature.is_empty() {
            return Err(SignatureError::Missing("Signature"));
        }
        let signature = BASE64
            .decode(&self.signature)
            .map_err(|_| SignatureError::Malformed("Signature"))?;
        let key = UnparsedPublicKey::new(algorithm, &certificate.0);
        verdict(key.verify(self.canonical().as_bytes(), &signature).is_ok())
    }
}

/// Whether a URL leads to SNS itself: `https://sns.<region>.amazonaws.com`, or `.com.cn` in China.
#[must_use]
pub fn is_sns_url(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let plain = url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let region = url.host_str().and_then(|host| {
        let host = host.strip_prefix("sns.")?;
        host.strip_suffix(".amazonaws.com")
            .or_else(|| host.strip_suffix(".amazonaws.com.cn"))
    });
    let legal = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    plain && region.is_some_and(|region| !region.is_empty() && region.chars().all(legal))
}

/// Whether a URL leads to a signing certificate of SNS. Its host has other pages, some of which show what strangers
/// wrote, so only the path of certificates is believed.
#[must_use]
pub fn is_certificate_url(url: &str) -> bool {
    let Ok(parsed) = Url::parse(url) else {
        return false;
    };
    let name = parsed
        .path()
        .strip_prefix("/SimpleNotificationService-")
        .and_then(|rest| rest.strip_suffix(".pem"));
    is_sns_url(url)
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && name.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// The public key of a certificate of SNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnsCertificate(Vec<u8>);

/// What is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate in PEM form")]
pub struct SnsCertificateError;

impl SnsCertificate {
    /// Takes the key out of a certificate in PEM form.
    ///
    /// Neither chain nor dates are checked: the certificate is believed because of the host that it was fetched from.
    pub fn from_pem(pem: &[u8]) -> Result<Self, SnsCertificateError> {
        let der = pem_content(pem).ok_or(SnsCertificateError)?;
        let der = webpki_types::CertificateDer::from(der);
        let certificate = EndEntityCert::try_from(&der).map_err(|_| SnsCertificateError)?;
        Ok(Self(certificate.subject_public_key_info().to_vec()))
    }
}

/// What stands between the lines of the first certificate.
fn pem_content(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    let (content, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let content: String = content.split_whitespace().collect();
    BASE64.decode(content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_certificates_are_taken_for_certificates() {
        let host = "https://sns.eu-north-1.amazonaws.com";
        assert!(is_certificate_url(&format!(
            "{host}/SimpleNotificationService-0123456789abcdef.pem"
        )));
        for bad in [
            "/?Action=GetEndpointAttributes&x=.pem",
            "/SimpleNotificationService-1.pem?Action=x",
            "/SimpleNotificationService-1.pem#x",
            "/a/SimpleNotificationService-1.pem",
            "/SimpleNotificationService-.pem",
            "/SimpleNotificationService-../x.pem",
        ] {
            assert!(!is_certificate_url(&format!("{host}{bad}")), "{bad}");
        }
        assert!(!is_certificate_url(
            "https://evil.example/SimpleNotificationService-1.pem"
        ));
    }

    #[test]
    fn only_the_hosts_of_sns_are_believed() {
        for good in [
            "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-1.pem",
            "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&Token=a",
            "https://sns.cn-north-1.amazonaws.com.cn/x.pem",
            "https://sns.eu-north-1.amazonaws.com:443/x.pem",
        ] {
            assert!(is_sns_url(good), "{good}");
        }
        for bad in [
            "http://sns.eu-north-1.amazonaws.com/x.pem",
            "https://sns.eu-north-1.amazonaws.com.evil.example/x.pem",
            "https://evil.example/sns.eu-north-1.amazonaws.com/x.pem",
            "https://sns.eu-north-1.amazonaws.com@evil.example/x.pem",
            "https://a:b@sns.eu-north-1.amazonaws.com/x.pem",
            "https://sns.eu-north-1.amazonaws.com:8443/x.pem",
            "https://sns.a.b.amazonaws.com/x.pem",
            "https://sns.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://bucket.s3.amazonaws.com/x.pem",
            "https://mysns.eu-north-1.amazonaws.com/x.pem",
            "sns.eu-north-1.amazonaws.com",
            "",
        ] {
            assert!(!is_sns_url(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        ] {
            let outcome = SnsCertificate::from_pem(text.as_bytes());
            assert_eq!(outcome, Err(SnsCertificateError), "{text}");
        }
    }
}
