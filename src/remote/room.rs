//! The room on the disk for what is on its way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{RemoteError, RemoteErrorKind, Result};

/// Room that all share who bring something.
pub(super) struct Room {
    most: u64,
    taken: AtomicU64,
}

/// What one of them has taken, until it is dropped.
pub(super) struct Share {
    room: Arc<Room>,
    taken: u64,
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicU64::new(0) })
    }

    /// Begins to bring something of that length.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Full`] when there never is room for it.
    pub(super) fn share(self: &Arc<Self>, length: u64) -> Result<Share> {
        if length > self.most {
            let what = format!("it has {length} bytes, and there is room for {}", self.most);
            return Err(RemoteError::new(RemoteErrorKind::Full, what));
        }
        Ok(Share { room: Arc::clone(self), taken: 0 })
    }
}

impl Share {
    /// Takes so many bytes more. What nobody waits for gives up when half of the room is taken.
    ///
    /// # Errors
    /// [`RemoteErrorKind::Full`]
    pub(super) fn take(&mut self, bytes: u64, is_awaited: bool) -> Result<()> {
        self.taken += bytes;
        let taken = self.room.taken.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let most = if is_awaited { self.room.most } else { self.room.most / 2 };
        if taken <= most {
            return Ok(());
        }
        Err(RemoteError::new(RemoteErrorKind::Full, "too much is on its way at once"))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_awaited_has_all_of_the_room_and_what_is_not_half_of_it() {
        let room = Room::new(100);
        let [mut awaited, mut other] = [room.share(100).unwrap(), room.share(100).unwrap()];
        other.take(50, false).unwrap();
        assert_eq!(other.take(1, false).unwrap_err().kind, RemoteErrorKind::Full);
        awaited.take(49, true).unwrap();
        assert_eq!(awaited.take(1, true).unwrap_err().kind, RemoteErrorKind::Full);
        drop(other);
        awaited.take(50, true).unwrap();
        drop(awaited);
        room.share(100).unwrap().take(100, true).unwrap();
        assert_eq!(room.share(101).err().unwrap().kind, RemoteErrorKind::Full);
    }
}
