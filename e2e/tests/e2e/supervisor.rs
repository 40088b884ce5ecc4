//! What a session can do to the supervisor that serves it, and to what the
//! supervisor leaves inside.

use crate::world::World;

scenarios! { "supervisor":
    what_covers_hidden_places_cannot_be_changed,
}

fn what_covers_hidden_places_cannot_be_changed(world: &World) {
    let script = "echo fine > /run/mine && cat /run/mine; cd /run/remit || exit 1; \
        chmod 777 . void blank; touch mine; echo planted > blank; echo planted > void/id_ed25519; \
        rm -rf blank; rmdir void; cd /; mv /run/remit /run/other; rmdir /run/remit; \
        ls /run/remit; stat -c '%n %a' /run/remit/void /run/remit/blank ~/.ssh; cat ~/.ssh/id_ed25519";
    let output = world.inside(script).fails().says("fine").does_not_say("planted");
    for kept in ["/run/remit/void 0", "/run/remit/blank 0", ".ssh 0"] {
        assert!(output.out.contains(kept), "`{kept}`: {output:?}");
    }
    assert!(!output.out.contains("mine\n/"), "{output:?}");
}
