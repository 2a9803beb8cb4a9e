//! `wasi:sockets`, so that ordinary C and Go programs link: making a socket answers "access denied", looking up a name
//! fails.
//!
//! The methods of sockets are wasmtime-wasi's, on a context that allows nothing; with no way to make a socket, none of
//! them can ever be called.

use super::state::StepState;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::{
    p2::{
        SocketError, SocketResult, TcpSocket, UdpSocket,
        bindings::sockets::{
            instance_network, ip_name_lookup,
            network::{self, ErrorCode, IpAddressFamily, Network},
            tcp, tcp_create_socket, udp, udp_create_socket,
        },
    },
    sockets::{WasiSockets, WasiSocketsView},
};

pub(super) fn add_to_linker(linker: &mut Linker<StepState>) -> wasmtime::Result<()> {
    network::add_to_linker::<_, WasiSockets>(linker, &network::LinkOptions::default(), StepState::sockets)?;
    instance_network::add_to_linker::<_, WasiSockets>(linker, StepState::sockets)?;
    ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, StepState::sockets)?;
    tcp::add_to_linker::<_, WasiSockets>(linker, StepState::sockets)?;
    udp::add_to_linker::<_, WasiSockets>(linker, StepState::sockets)?;
    tcp_create_socket::add_to_linker::<_, HasSelf<StepState>>(linker, |state| state)?;
    udp_create_socket::add_to_linker::<_, HasSelf<StepState>>(linker, |state| state)
}

impl tcp_create_socket::Host for StepState {
    fn create_tcp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        Err(ErrorCode::AccessDenied.into())
    }
}

impl udp_create_socket::Host for StepState {
    async fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        Err(ErrorCode::AccessDenied.into())
    }
}

/// Only the conversion is ever called: the two functions above use it.
impl network::Host for StepState {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, _: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(None)
    }
}

impl network::HostNetwork for StepState {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}
