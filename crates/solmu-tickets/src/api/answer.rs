//! HTML and files of an answer, from the call to what is stored and sent.

use solmu_answers::{Limits, NewFile, check, keep_files};
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::ApiError;

use crate::{calls::MAX_TEXT, command::Content, context::Context};

/// The text of an answer and what belongs to it. Files are in the store afterwards.
pub(super) async fn content(
    context: &Context,
    request: &mut proto::ReplyToTicketRequest,
) -> Result<(String, Content), ApiError> {
    let text = std::mem::take(&mut request.text);
    if request.html.is_empty() && request.files.is_empty() {
        return Ok((text, Content::default()));
    }
    let files = std::mem::take(&mut request.files).into_iter();
    let files = files.map(|file| NewFile {
        filename: file.filename,
        content_type: file.content_type,
        content_id: file.content_id,
        bytes: file.data,
    });
    let limits = Limits {
        text_bytes: MAX_TEXT,
        files: context.config.answers.max_files,
        file_bytes: context.config.answers.max_file_bytes,
    };
    let answer = check(&text, &request.html, files.collect(), limits)
        .map_err(|refused| ApiError::invalid(refused.field(), refused.to_string()))?;
    let files = match (answer.files.is_empty(), &context.files) {
        (true, _) => Vec::new(),
        (false, Some(store)) => keep_files(store.as_ref(), answer.files)
            .await
            .map_err(ApiError::Unavailable)?,
        (false, None) => {
            return Err(ApiError::FailedPrecondition {
                reason: "NO_FILE_STORE",
                message: "this process has no object store: nothing was sent".to_owned(),
            });
        }
    };
    let html = answer.html;
    Ok((answer.text, Content { html, files }))
}
