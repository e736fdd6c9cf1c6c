mod container;
mod daemon;
mod own;
mod route;
mod solve;
