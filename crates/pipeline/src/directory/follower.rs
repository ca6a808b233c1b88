//! Reads `postrider.config` into the directory.

use postrider_domain::{ConfigEntry, ConfigMarker, EntityId};
use postrider_kafka::{AvroRecord, Codec, DecodeError, Fingerprint, ReadinessHandle, Record, TableEvent, TableReader};

use super::{
    handle::Directory,
    state::{Change, State, Status},
};

/// Feeds a [`Directory`], and says whether it can be worked with.
pub(super) struct Follower {
    directory: Directory,
    codec: Codec,
    readiness: ReadinessHandle,
    reported: Status,
}

impl Follower {
    pub(super) fn new(directory: Directory, codec: Codec, readiness: ReadinessHandle) -> Self {
        let reported = directory.status();
        readiness.unready(reported.to_string());
        Self { directory, codec, readiness, reported }
    }

    /// Follows the topic. Ends only if its reader does.
    pub(super) async fn run(mut self, mut reader: TableReader) -> Result<(), String> {
        while let Some(event) = reader.next().await {
            let status = match event {
                TableEvent::Record(record) => self.take(&record).await,
                TableEvent::EndOfPartition => self.at_end(),
                TableEvent::Shrunk => self.directory.change(State::shrunk),
            };
            self.report(status);
        }
        Err("the reader of the directory's topic ended although nobody asked it to".to_owned())
    }

    async fn take(&mut self, record: &Record) -> Status {
        let Some(key) = record.key_str() else {
            tracing::error!(offset = record.offset, "a record of the directory's topic has no key and is ignored");
            return self.directory.status();
        };
        let change = loop {
            match self.decode(key, record.value.as_deref()) {
                Ok(change) => break change,
                Err(fingerprint) => self.wait_for_schema(fingerprint).await,
            }
        };
        match change {
            Some(change) => self.directory.apply(change),
            None => self.directory.status(),
        }
    }

    /// What a record says; none if that changes nothing. Error: its schema is not known yet.
    fn decode(&self, key: &str, value: Option<&[u8]>) -> Result<Option<Change>, Fingerprint> {
        let is_marker = key == ConfigMarker::KEY;
        let Some(value) = value else {
            return Ok((!is_marker).then(|| Change::Tombstone(EntityId::from_trusted(key))));
        };
        if is_marker {
            return Ok(self.read::<ConfigMarker>(key, value)?.map(Change::Marker));
        }
        let entry = self.read::<ConfigEntry>(key, value)?;
        let change = entry.map_or_else(|| Change::Undecodable(EntityId::from_trusted(key)), Change::Entry);
        Ok(Some(change))
    }

    /// Decodes a value; none, and an alert, if it can't be decoded ever.
    fn read<T: AvroRecord>(&self, key: &str, value: &[u8]) -> Result<Option<T>, Fingerprint> {
        match self.codec.decode(value) {
            Ok(decoded) => Ok(Some(decoded)),
            Err(DecodeError::UnknownSchema(fingerprint)) => Err(fingerprint),
            Err(error @ DecodeError::Corrupt(_)) => {
                metrics::counter!("postrider_directory_undecodable_total").increment(1);
                tracing::error!(
                    key,
                    %error,
                    "an entry of the directory can't be read: its last good version stays in force; change the entity to publish it anew"
                );
                Ok(None)
            }
        }
    }

    async fn wait_for_schema(&mut self, fingerprint: Fingerprint) {
        let status = self.directory.change(|state| state.wait_for_schema(Some(fingerprint)));
        self.report(status);
        self.codec.learned(fingerprint).await;
        self.directory.change(|state| state.wait_for_schema(None));
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; nobody has 2^52 entities, nor changed them as often"
    )]
    fn at_end(&self) -> Status {
        let status = self.directory.change(State::end_of_partition);
        metrics::gauge!("postrider_directory_entities").set(self.directory.live() as f64);
        // Beside the relay's own position, it tells how far this process lags.
        let version = self.directory.version();
        metrics::gauge!("postrider_directory_epoch").set(version.epoch as f64);
        metrics::gauge!("postrider_directory_seq").set(version.seq as f64);
        status
    }

    /// Tells operators when the status changes.
    fn report(&mut self, status: Status) {
        if status == self.reported {
            return;
        }
        metrics::gauge!("postrider_directory_working").set(f64::from(u8::from(status.is_working())));
        match status {
            Status::Working => {
                tracing::info!(version = %self.directory.version(), "{status}");
                self.readiness.ready();
            }
            Status::Shrunk | Status::EpochFell { .. } => {
                tracing::error!("{status}");
                self.readiness.unready(status.to_string());
            }
            Status::Reading | Status::Incomplete { .. } | Status::UnknownSchema(_) => {
                tracing::warn!("{status}");
                self.readiness.unready(status.to_string());
            }
        }
        self.reported = status;
    }
}
