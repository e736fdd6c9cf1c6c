# syntax=harbor.example.com/frontends/dockerfile:1.7
FROM alpine
