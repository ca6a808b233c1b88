//! Schemas by which events are refused where they are published, so that their producers are told at once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use postrider_domain::event_type::{CompiledEventType, ValidationMode};
use postrider_postgres::{Error, PgConnection, event_types};

use crate::manage::event_types::{MAX_EVENT_TYPES, published};

/// Event types whose mode is `reject`, each compiled once per version. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct EventSchemas {
    by_name: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Debug)]
struct Known {
    id: String,
    version: i64,
    compiled: Arc<CompiledEventType>,
}

impl EventSchemas {
    /// The event type of that name as it is now, if what does not fit its schema is rejected.
    pub(crate) async fn rejecting(
        &self,
        conn: &mut PgConnection,
        name: &str,
    ) -> Result<Option<Arc<CompiledEventType>>, Error> {
        let Some((id, version)) = event_types::rejecting(conn, name).await? else {
            self.by_name.lock().remove(name);
            return Ok(None);
        };
        let is_current = |known: &&Known| known.id == id && known.version == version;
        if let Some(known) = self.by_name.lock().get(name).filter(is_current) {
            return Ok(Some(known.compiled.clone()));
        }
        // It may have changed since.
        let row = event_types::get(conn, &id).await?.filter(|row| row.validation == ValidationMode::Reject);
        let Some(row) = row else { return Ok(None) };
        let compiled = Arc::new(CompiledEventType::new(published(&row)));
        let mut by_name = self.by_name.lock();
        // Names that are gone stay until there are too many.
        if by_name.len() >= MAX_EVENT_TYPES {
            by_name.clear();
        }
        by_name.insert(name.to_owned(), Known { id, version: row.version, compiled: compiled.clone() });
        Ok(Some(compiled))
    }
}
