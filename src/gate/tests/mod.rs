mod body;
mod route;
