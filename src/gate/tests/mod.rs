mod body;
mod daemon;
mod own;
mod route;
mod solve;
