//! Folders that servers leave behind.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Removes so many files at a time: a disk that discards what is freed takes milliseconds for each.
const AT_A_TIME: usize = 8;

/// Removes what is in a folder whose server has ended; folders stay, empty.
pub fn empty_folder(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    add_files(folder, &mut files)?;
    std::thread::scope(|scope| {
        let part = files.len().div_ceil(AT_A_TIME).max(1);
        let removals: Vec<_> = files.chunks(part).map(|files| scope.spawn(|| remove(files))).collect();
        removals.into_iter().try_for_each(|removal| removal.join().expect("removing does not panic"))
    })
}

fn remove(files: &[PathBuf]) -> io::Result<()> {
    files.iter().try_for_each(std::fs::remove_file)
}

fn add_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            add_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_empty_folders_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("base/16384");
        std::fs::create_dir_all(&deep).unwrap();
        for number in 0..20 {
            std::fs::write(deep.join(number.to_string()), "x").unwrap();
        }
        std::fs::write(folder.path().join("log"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        empty_folder(folder.path()).unwrap();
        let mut left = Vec::new();
        add_files(folder.path(), &mut left).unwrap();
        assert_eq!(left, Vec::<PathBuf>::new());
        empty_folder(folder.path()).unwrap();
    }
}
