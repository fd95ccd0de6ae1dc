//! Mails as customers write them, and as they get ours.

/// A mail to us.
#[derive(Debug, Clone, Default)]
pub(crate) struct Letter {
    pub(crate) from: String,
    pub(crate) name: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    /// Without brackets, like all ids here.
    pub(crate) message_id: String,
    pub(crate) in_reply_to: Option<String>,
    pub(crate) references: Vec<String>,
    pub(crate) text: String,
}

impl Letter {
    /// A mail to the support address, with a Message-ID that is made of the subject.
    pub(crate) fn new(from: &str, subject: &str, text: &str) -> Self {
        let id: String = subject
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '.' })
            .collect();
        Self {
            from: from.to_owned(),
            name: "Aino Virtanen".to_owned(),
            to: "support@desk.example".to_owned(),
            subject: subject.to_owned(),
            message_id: format!("{}@customer.example", id.to_lowercase()),
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// As it goes over the wire, without the final dot.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self {
            from,
            name,
            to,
            subject,
            message_id,
            text,
            ..
        } = self;
        let mut mail = format!(
            "From: {name} <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{message_id}>\r\n\
             Date: Mon, 02 Nov 2026 10:00:00 +0200\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        );
        if let Some(parent) = &self.in_reply_to {
            mail.extend(["In-Reply-To: <", parent, ">\r\n"]);
        }
        if !self.references.is_empty() {
            let ids: Vec<String> = self.references.iter().map(|id| format!("<{id}>")).collect();
            mail.extend(["References: ", &ids.join("\r\n "), "\r\n"]);
        }
        mail.push_str("\r\n");
        mail.push_str(text);
        mail.into_bytes()
    }
}

/// A mail of ours as the relay got it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrived {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

impl Arrived {
    /// A header's value, unfolded.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let (head, _) = self.text.split_once("\r\n\r\n")?;
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        unfolded.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }

    /// The text after the headers.
    pub(crate) fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }

    /// The Message-ID without brackets.
    pub(crate) fn message_id(&self) -> String {
        let id = self.header("message-id").unwrap();
        id.trim_matches(['<', '>']).to_owned()
    }

    /// The address of Reply-To.
    pub(crate) fn reply_to(&self) -> String {
        let value = self.header("reply-to").unwrap();
        let address = value
            .rsplit_once('<')
            .map_or(value.as_str(), |(_, address)| address);
        address.trim_end_matches('>').to_owned()
    }
}
