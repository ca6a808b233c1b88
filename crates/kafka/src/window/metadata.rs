//! What is stored beside a committed offset, as text: `1` and `;`-separated fields, `v=` the directory's version, `r=`
//! the runs of offsets above the committed one that are done, in base64url.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use postrider_domain::{DirectoryVersion, Runs};

/// The text's largest length. Brokers take 4,096 bytes unless they are set otherwise.
pub(super) const MAX_METADATA_BYTES: usize = 3_072;
/// The most that anything but the runs takes: `1;v=<epoch>.<seq>;r=`, both numbers at their longest.
const MAX_OTHER_BYTES: usize = 2 + 2 + 20 + 1 + 20 + 3;
/// The most that the runs may take before they are made text.
pub(super) const MAX_RUNS_BYTES: usize = (MAX_METADATA_BYTES - MAX_OTHER_BYTES) / 4 * 3;

/// What is stored beside a committed offset for the stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitMetadata {
    /// The directory's version that the stage had reached.
    pub version: Option<DirectoryVersion>,
}

/// Commit metadata of another format than this build reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("commit metadata '{0}' is not of a known format; what completed out of order is read again")]
pub(crate) struct InvalidMetadata(String);

impl CommitMetadata {
    /// The text, with [encoded](Runs::encode) runs.
    pub(super) fn to_text(&self, runs: &[u8]) -> String {
        let mut text = String::from("1");
        if let Some(version) = self.version {
            write!(text, ";v={version}").expect("a String takes everything");
        }
        if !runs.is_empty() {
            text.push_str(";r=");
            BASE64_URL_SAFE_NO_PAD.encode_string(runs, &mut text);
        }
        text
    }

    /// Reads the text that was committed with `offset`.
    pub(crate) fn parse(text: &str, offset: i64) -> Result<(Self, Runs), InvalidMetadata> {
        let invalid = || InvalidMetadata(text.chars().take(64).collect());
        let mut fields = text.split(';');
        match fields.next() {
            Some("") if text.is_empty() => return Ok(Default::default()),
            Some("1") => {}
            _ => return Err(invalid()),
        }
        let (mut metadata, mut runs) = (Self::default(), Runs::new());
        for field in fields {
            if let Some(version) = field.strip_prefix("v=") {
                metadata.version = Some(version.parse().map_err(|_| invalid())?);
            } else if let Some(encoded) = field.strip_prefix("r=") {
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| invalid())?;
                runs = Runs::decode(offset, &bytes).map_err(|_| invalid())?;
            }
        }
        Ok((metadata, runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_round_trips_and_strange_formats_are_refused() {
        let version = Some(DirectoryVersion { epoch: 3, seq: 99 });
        let runs: Runs = [12..13, 20..40].into_iter().collect();
        for metadata in [CommitMetadata::default(), CommitMetadata { version }] {
            for runs in [Runs::new(), runs.clone()] {
                let text = metadata.to_text(&runs.encode(10, MAX_RUNS_BYTES));
                assert_eq!(CommitMetadata::parse(&text, 10), Ok((metadata.clone(), runs)));
            }
        }
        assert_eq!(CommitMetadata::parse("", 5), Ok(Default::default()));
        assert_eq!(CommitMetadata::parse("1;x=later", 5), Ok(Default::default()));
        for bad in ["2;x", "1;v=x", "1;r=*", "1;r=CQ"] {
            assert!(CommitMetadata::parse(bad, 5).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_longest_text_fits() {
        let version = Some(DirectoryVersion { epoch: i64::MIN, seq: i64::MIN });
        let text = CommitMetadata { version }.to_text(&[0xff; MAX_RUNS_BYTES]);
        assert!(text.len() <= MAX_METADATA_BYTES && text.len() > MAX_METADATA_BYTES - 8, "{}", text.len());
    }
}
