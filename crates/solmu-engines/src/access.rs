//! What an unprivileged user may enter and own. Only mode bits are read; an ACL that allows more leads to a needless
//! copy, never to a failure.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

use crate::identity::RunAs;

/// The first folder on the way to `path` (itself included, as far as it exists) that `run_as` may not enter.
pub(crate) fn closed_folder(path: &Path, run_as: &RunAs) -> Option<PathBuf> {
    let RunAs::User { uid, gid, .. } = run_as else {
        return None;
    };
    let existing = path
        .ancestors()
        .find_map(|ancestor| ancestor.canonicalize().ok())?;
    let mut folders: Vec<_> = existing.ancestors().map(Path::to_owned).collect();
    folders.reverse();
    folders.into_iter().find(|folder| {
        fs::metadata(folder).is_ok_and(|meta| {
            meta.is_dir() && !may_execute(meta.mode(), (meta.uid(), meta.gid()), (*uid, *gid))
        })
    })
}

/// Whether `run_as` can read and run the file, and enter every folder above it.
pub(crate) fn can_run(file: &Path, run_as: &RunAs) -> bool {
    let RunAs::User { uid, gid, .. } = run_as else {
        return true;
    };
    closed_folder(file, run_as).is_none()
        && fs::metadata(file)
            .is_ok_and(|meta| may_execute(meta.mode(), (meta.uid(), meta.gid()), (*uid, *gid)))
}

/// The execute bit that counts for a user: of the owner, else of the group, else of everybody.
fn may_execute(mode: u32, owner: (u32, u32), user: (u32, u32)) -> bool {
    let bit = if owner.0 == user.0 {
        0o100
    } else if owner.1 == user.1 {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

/// Makes `folder` when missing, closes it to others (0700) and gives it with all its content to `run_as`.
pub(crate) fn private_folder(folder: &Path, run_as: &RunAs) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if let RunAs::User { uid, gid, .. } = run_as
        && fs::metadata(folder)?.uid() != *uid
    {
        give_tree(&folder.canonicalize()?, *uid, *gid)?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Never follows a link: a former owner could have planted one that points out of the tree.
fn give_tree(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    lchown(path, Some(uid), Some(gid))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_tree(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_matching_class_decides() {
        assert!(may_execute(0o700, (5, 5), (5, 9)));
        assert!(
            !may_execute(0o077, (5, 5), (5, 9)),
            "an owner without the bit is refused even when all others may"
        );
        assert!(may_execute(0o710, (0, 9), (5, 9)));
        assert!(!may_execute(0o701, (0, 9), (5, 9)));
        assert!(may_execute(0o701, (0, 0), (5, 9)));
    }

    #[test]
    fn a_private_folder_on_the_way_is_named() {
        let top = tempfile::tempdir().unwrap();
        let inner = top.path().join("closed/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(top.path().join("closed"), fs::Permissions::from_mode(0o600)).unwrap();
        let nobody = RunAs::User {
            name: "nobody".into(),
            uid: 65534,
            gid: 65534,
        };
        if nix::unistd::geteuid().is_root() {
            assert_eq!(
                closed_folder(&inner.join("not/yet/there"), &nobody),
                Some(top.path().join("closed").canonicalize().unwrap())
            );
        }
        assert_eq!(closed_folder(&inner, &RunAs::Ourselves), None);
    }
}
