//! What the directory is, and whether it can be worked with: pure, one record at a time.
//!
//! Entries of a higher epoch, and everything read again after the topic shrank, are collected beside the
//! running book and replace it once they are complete; until then it answers as it did.

use std::fmt;

use postrider_domain::{ConfigEntry, ConfigMarker, DirectoryVersion, EntityId};
use postrider_kafka::Fingerprint;

use super::book::Book;

/// Whether the directory can be worked with, and why not. Shown as a reason of unreadiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The topic has not been read to its end yet.
    Reading,
    /// The topic was read to its end, and its marker names another number of entities than there are.
    Incomplete {
        /// Live entities that were read.
        live: i64,
        /// Live entities according to the marker; none if there is no marker.
        expected: Option<i64>,
    },
    /// Complete: work may be taken.
    Working,
    /// The next record was written with a schema that is not known yet.
    UnknownSchema(Fingerprint),
    /// The topic lost records that were read from it, and what it has now is older or not complete.
    Shrunk,
    /// The topic went on with an epoch older than one that was read.
    EpochFell {
        /// The newest epoch read.
        had: i64,
        /// The epoch of the record behind it.
        found: i64,
    },
}

impl Status {
    /// Whether work may be taken.
    pub fn is_working(self) -> bool {
        self == Self::Working
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => f.write_str("the directory is being read"),
            Self::Incomplete { live, expected: Some(expected) } => {
                write!(f, "the directory is incomplete: it should have {expected} entities and has {live}")
            }
            Self::Incomplete { expected: None, .. } => {
                f.write_str("the directory has no marker yet: a process with the role relay publishes it")
            }
            Self::Working => f.write_str("the directory is complete"),
            Self::UnknownSchema(fingerprint) => {
                write!(f, "the directory has a record of schema {fingerprint}, which is not in the layout topic yet")
            }
            Self::Shrunk => {
                f.write_str("the directory's topic lost records: no work is taken until it is published again in full")
            }
            Self::EpochFell { had, found } => write!(
                f,
                "the directory's topic went from epoch {had} back to {found}: no work is taken until a newer epoch is published"
            ),
        }
    }
}

/// A record of the topic, decoded.
#[derive(Debug)]
pub(super) enum Change {
    /// An entity as it is now.
    Entry(ConfigEntry),
    /// The completeness marker.
    Marker(ConfigMarker),
    /// An entity whose deletion is history.
    Tombstone(EntityId),
    /// An entity's entry that can't be decoded, ever.
    Undecodable(EntityId),
}

/// Why the running book is not to be worked with although it is complete. Ends with the next book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Shrunk,
    EpochFell { had: i64, found: i64 },
}

/// The running book, the one that may replace it, and how far the topic was read.
#[derive(Debug, Default)]
pub(super) struct State {
    current: Book,
    incoming: Option<Book>,
    trouble: Option<Trouble>,
    /// As of the last time that the end was reached; none before the first.
    agreed_at_end: Option<bool>,
    unknown_schema: Option<Fingerprint>,
}

impl State {
    /// The book to look things up in.
    pub(super) fn book(&self) -> &Book {
        &self.current
    }

    pub(super) fn status(&self) -> Status {
        if let Some(fingerprint) = self.unknown_schema {
            return Status::UnknownSchema(fingerprint);
        }
        match (self.trouble, self.agreed_at_end) {
            (Some(Trouble::Shrunk), _) => Status::Shrunk,
            (Some(Trouble::EpochFell { had, found }), _) => Status::EpochFell { had, found },
            (None, None) => Status::Reading,
            // What was missing has been read; whether that was all, its end will tell.
            (None, Some(false)) if self.current.agrees() => Status::Reading,
            (None, Some(true)) => Status::Working,
            (None, Some(false)) => Status::Incomplete { live: self.current.live(), expected: self.current.expected() },
        }
    }

    /// Takes the next record.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Entry(entry) => {
                if let Some(book) = self.book_of(entry.version) {
                    book.apply(entry);
                }
            }
            Change::Marker(marker) => {
                if let Some(book) = self.book_of(marker.version) {
                    book.mark(marker);
                }
            }
            Change::Tombstone(key) => self.newest().forget(&key),
            Change::Undecodable(key) => self.newest().keep(key),
        }
        let newer = |book: &Book| book.epoch() > self.current.epoch() && book.agrees();
        if self.trouble != Some(Trouble::Shrunk) && self.incoming.as_ref().is_some_and(newer) {
            self.swap();
        }
    }

    /// Takes note that for now there is nothing more.
    pub(super) fn end_of_partition(&mut self) {
        let no_older = |book: &Book| book.version() >= self.current.version() && book.agrees();
        if self.trouble == Some(Trouble::Shrunk) && self.incoming.as_ref().is_some_and(no_older) {
            self.swap();
        }
        self.agreed_at_end = Some(self.current.agrees());
    }

    /// Takes note that the topic lost records and is read again from its beginning.
    pub(super) fn shrunk(&mut self) {
        if self.trouble.is_none() && self.agreed_at_end != Some(true) {
            // What was read so far was never worked with.
            *self = Self::default();
        } else {
            self.trouble = Some(Trouble::Shrunk);
            self.incoming = Some(Book::default());
        }
    }

    /// Takes note that the next record waits for its schema, or does no longer.
    pub(super) fn wait_for_schema(&mut self, fingerprint: Option<Fingerprint>) {
        self.unknown_schema = fingerprint;
    }

    fn swap(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.current = incoming;
            self.trouble = None;
        }
    }

    /// The book that a record of `version` belongs to; none if a newer epoch was read before it.
    fn book_of(&mut self, version: DirectoryVersion) -> Option<&mut Book> {
        let newest = self.newest().epoch().unwrap_or(version.epoch);
        if version.epoch < newest {
            self.trouble.get_or_insert(Trouble::EpochFell { had: newest, found: version.epoch });
            return None;
        }
        if version.epoch > newest {
            self.incoming = Some(Book::default());
        }
        Some(self.newest())
    }

    /// The book that is being filled.
    fn newest(&mut self) -> &mut Book {
        self.incoming.as_mut().unwrap_or(&mut self.current)
    }
}

#[cfg(test)]
mod tests;
