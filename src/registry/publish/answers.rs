//! What the servers of a zone answer, compared with what was to be written.

use crate::dnslink::{Change, PublishError, PublishErrorKind, ServerAnswer, is_link};

/// Returns what those servers say that answer.
///
/// # Errors
/// When none does.
pub(super) fn answers(responses: &[ServerAnswer]) -> Result<Vec<&Vec<String>>, PublishError> {
    let answers: Vec<&Vec<String>> =
        responses.iter().filter_map(|response| response.texts.as_ref().ok()).collect();
    if !answers.is_empty() {
        return Ok(answers);
    }
    let why = responses.iter().find_map(|response| response.texts.as_ref().err());
    let why = why.map_or("none found", |error| &error.context);
    let context = format!("no name server answers ({why}); set `publish.servers`");
    Err(PublishError::new(PublishErrorKind::Unavailable, context))
}

/// Finds a foreign link in what the servers return.
pub(super) fn conflict(change: &Change, responses: &[ServerAnswer]) -> Option<PublishError> {
    let texts = responses.iter().filter_map(|response| response.texts.as_ref().ok());
    texts.into_iter().find_map(|texts| change.against(texts).err())
}

/// Names a server that does not return the change, or says why none answers.
pub(super) fn missing(change: &Change, responses: &[ServerAnswer]) -> Option<String> {
    for response in responses {
        let Ok(texts) = &response.texts else { continue };
        let is_whole = change.expected.iter().all(|expected| texts.contains(expected));
        let links = texts.iter().filter(|text| is_link(text)).count();
        if !is_whole || links != 1 {
            return Some(format!("{} answers {}", response.server, response.summary()));
        }
    }
    answers(responses).err().map(|error| error.context)
}
