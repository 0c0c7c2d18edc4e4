//! `test_Ipc.py`.

use std::sync::Arc;

use crate::common::*;
use axon::prelude::*;
use axon::{Notify, Other, ProducerFinished, ShutdownMicroprocess};

/// AX-IPC-01.
#[test]
fn test_components() {
    // newComponent is a call here: whoever is launched runs first in the next pass, in order (T02).
    let s = fresh();
    let c = body(async |cx| {
        let kid = cx.activate(plain());
        assert!(kid.is_paused_before_its_first_pass());
    });
    s.activate(&c);
    s.run().unwrap();
}

trait FirstPass {
    fn is_paused_before_its_first_pass(&self) -> bool;
}

impl FirstPass for axon::AnyInstance {
    fn is_paused_before_its_first_pass(&self) -> bool {
        !self.is_stopped() && !self.is_runnable()
    }
}

/// AX-IPC-02.
#[test]
fn test_microprocesses() {
    assert!(matches!(
        Ipc::shutdown_microprocess(),
        Ipc::ShutdownMicroprocess(ShutdownMicroprocess { microprocesses: None })
    ));
    let id = plain().id();
    let m = ShutdownMicroprocess { microprocesses: Some(Arc::new(vec![id])) };
    let Ipc::ShutdownMicroprocess(m) = Ipc::ShutdownMicroprocess(m).clone() else {
        panic!("another variant")
    };
    assert_eq!(*m.microprocesses.unwrap(), [id]);
}

/// AX-IPC-03.
#[test]
fn notify_test_SmokeTest_MinArguments() {
    let id = plain().id();
    let Ipc::Other(object) = Ipc::other("payload") else { panic!("another variant") };
    let n = Ipc::Notify(Arc::new(Notify { caller: id, object }));
    let Ipc::Notify(n) = n else { panic!("another variant") };
    let object: &Other = &n.object;
    assert_eq!((n.caller, object.downcast_ref::<&str>()), (id, Some(&"payload")));
}

/// AX-IPC-04.
#[test]
fn test_status() {
    assert_eq!(Ipc::Status("fine".into()).to_string(), "status(fine)");
}

/// AX-IPC-05.
#[test]
fn wouldblock_test_SmokeTest_MinArguments() {
    assert_eq!(Ipc::WouldBlock(plain().id()).kind(), "wouldblock");
}

/// AX-IPC-06.
#[test]
fn producerFinished_test_SmokeTest_NoArguments() {
    let Ipc::ProducerFinished(m) = Ipc::producer_finished() else { panic!("another variant") };
    assert_eq!(m, ProducerFinished { caller: None, message: None });
}

/// AX-IPC-06.
#[test]
fn producerFinished_test_SmokeTest_MinArguments() {
    let id = plain().id();
    let Ipc::ProducerFinished(m) = Ipc::producer_finished_by(id) else { panic!("another variant") };
    assert_eq!(m.caller, Some(id));
}

/// AX-IPC-07.
#[test]
fn errorInformation_test_SmokeTest_MinSensibleArguments() {
    let id = plain().id();
    let Ipc::ErrorInformation(e) = Ipc::error_information(id, "no disk") else { panic!("another variant") };
    assert_eq!((e.caller, e.exception.as_deref(), &e.message), (id, Some("no disk"), &None));
}

/// K-IPC-01; AX-IPC-10: the historic `shutdown` is not a `shutdownMicroprocess`.
#[test]
fn which_messages_are_of_which_kind() {
    let socket = Ipc::SocketShutdown(ProducerFinished::default());
    assert!(socket.is_producer_finished() && socket.ends_component());
    assert!(Ipc::ServerShutdown.is_shutdown_microprocess() && Ipc::ServerShutdown.ends_component());
    let old = Ipc::Shutdown;
    assert!(!old.is_producer_finished() && !old.is_shutdown_microprocess() && !old.ends_component());
}
