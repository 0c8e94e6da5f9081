//! The gateways over real sockets: what is sent, what every kind of answer becomes, and what a broken transport means.

mod gate;
mod gdbrns;
mod hooks;
mod media;
mod positus;
mod transport;
mod whapi;
mod whapi_refusals;
mod wsapi;
mod wuzapi;
