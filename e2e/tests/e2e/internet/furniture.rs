//! What stands in the laboratory where a scenario wants it.

use std::path::Path;
use std::process::Command;

use crate::world::World;

/// Packages in registries of each kind, and a project that wants them.
pub fn packages(folder: &Path) {
    const CONTENT: &str = include_str!("content.py");
    let made = Command::new("python3").args(["-c", CONTENT]).arg(folder).status();
    assert!(made.is_ok_and(|status| status.success()), "the packages are made");
}

/// The project that wants the packages, in the world's workspace.
pub fn project(folder: &Path, world: &World) {
    for name in
        ["package.json", "package-lock.json", "Cargo.toml", "src/main.rs", ".cargo/config.toml"]
    {
        let text = std::fs::read_to_string(folder.join("project").join(name)).expect("made before");
        world.write(&world.workspace.join(name), &text);
    }
}

/// `repositories/project.git`, with one file that says hello.
pub fn repository(folder: &Path) {
    let script = r#"
        set -e
        cd "$1"
        mkdir repositories work
        git init -q -b main work
        cd work
        echo "hello from a repository" > README
        git add README
        git -c user.name=Test -c user.email=test@example.invalid commit -qm first
        git clone -q --bare . ../repositories/project.git
        git -C ../repositories/project.git config http.receivepack true
        chmod -R a+rwX ..
    "#;
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(folder).output().expect("sh");
    assert!(made.status.success(), "{made:?}");
}

/// The program that serves SSH, which insists on being started by its whole path.
pub const SSHD: &str = "/usr/sbin/sshd";

/// Keys of a host and of an account that it lets in, and settings for [`SSHD`].
pub fn ssh(folder: &Path) {
    let script = r#"
        set -e
        cd "$1"
        ssh-keygen -q -t ed25519 -N '' -C host -f hostkey
        ssh-keygen -q -t ed25519 -N '' -C person -f userkey
        cp userkey.pub authorized
        chmod 644 authorized
        printf 'ssh.example %s\n' "$(cut -d' ' -f1,2 hostkey.pub)" > known
        printf '%s\n' "HostKey $1/hostkey" "AuthorizedKeysFile $1/authorized" 'StrictModes no' \
            'UsePAM yes' 'PermitRootLogin yes' 'PidFile none' 'PasswordAuthentication no' \
            'LogLevel VERBOSE' > sshd.conf
        mkdir -p /run/sshd
    "#;
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(folder).output().expect("sh");
    assert!(made.status.success(), "{made:?}");
}
