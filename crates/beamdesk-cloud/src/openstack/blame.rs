//! Why a server was not made, and who can mend it.

use super::{ApiError, driver::busy_if_conflict, error::quota_of, server::Fault, state::clipped};
use crate::{CloudError, RequestId, ServerSpec};

/// What a refusal of Nova means, where its words say more than its number.
pub(super) fn blame(spec: &ServerSpec, error: ApiError) -> CloudError {
    let request = error.request_id().cloned();
    let said = error.message().to_ascii_lowercase();
    let missing = said.contains("could not be found") || said.contains("not active");
    match error.status() {
        _ if error.is_quota() => error.into(),
        Some(400 | 404) if said.contains("image") && (missing || said.contains("invalid")) => {
            CloudError::ImageGone { image: spec.image.id.to_string(), request }
        }
        Some(400 | 404) if said.contains("flavor") && missing => {
            let text = format!("that of {} was deleted a moment ago", spec.size.id);
            CloudError::FlavorChanged { text, request }
        }
        Some(403) if said.contains("requested_destination") => {
            let text = "the portal may not choose hosts; an administrator of the cloud can give it \
                        the role for it, or one of Beamdesk set choose_host = false";
            CloudError::Refused { text: text.to_owned(), request }
        }
        Some(409) => busy_if_conflict(error),
        _ => error.into(),
    }
}

/// What broke a server means (Nova's conductor puts its words there: there is nothing else).
pub(super) fn fault(spec: &ServerSpec, fault: Option<&Fault>) -> CloudError {
    let request = Some(RequestId::of_operation());
    let message = fault.map(|fault| fault.message.as_str()).unwrap_or_default();
    let said = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if fault.is_some_and(|fault| fault.code == 413) || has(&["quota exceeded"]) {
        return CloudError::Quota { what: quota_of(message), request };
    }
    if has(&["no valid host", "maximum number of retries", "exhausted all hosts", "insufficient"]) {
        return CloudError::NoCapacity { request };
    }
    if said.contains("image") && said.contains("could not be found") {
        return CloudError::ImageGone { image: spec.image.id.to_string(), request };
    }
    let why = if message.is_empty() { "the cloud does not say why" } else { message };
    let text = format!("the server broke while it was made: {}", clipped(why));
    CloudError::Refused { text, request }
}

#[cfg(test)]
mod tests {
    use super::fault;
    use crate::{
        CloudError,
        openstack::{driver::tests::spec, server::Fault},
    };

    fn of(code: u16, message: &str) -> CloudError {
        fault(&spec(), Some(&Fault { code, message: message.to_owned() }))
    }

    #[test]
    fn what_broke_a_server_is_told_apart() {
        let none = of(500, "No valid host was found. There are not enough hosts available.");
        assert!(matches!(none, CloudError::NoCapacity { .. }), "{none:?}");
        let late = of(500, "Exceeded maximum number of retries. Exhausted all hosts available …");
        assert!(matches!(late, CloudError::NoCapacity { .. }), "{late:?}");
        let quota =
            of(413, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances");
        assert!(
            matches!(&quota, CloudError::Quota { what, .. } if what == "instances"),
            "{quota:?}"
        );
        let image = of(500, "Image 5c1f could not be found.");
        assert!(matches!(&image, CloudError::ImageGone { .. }), "{image:?}");
        let other = of(500, "Build of instance 5 aborted: it rains");
        assert!(other.to_string().contains("it rains"), "{other}");
        assert!(matches!(fault(&spec(), None), CloudError::Refused { .. }));
    }

    #[test]
    fn each_names_a_request() {
        assert!(of(500, "No valid host was found.").request().is_some());
    }
}
