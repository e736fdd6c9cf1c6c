mod alias;
mod container;
mod daemon;
mod llb;
mod own;
mod proto;
mod route;
mod solve;
