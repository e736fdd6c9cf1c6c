FROM alpine
COPY ["a b", "c", "/d/"]
ENTRYPOINT [ "sh", "-c", "exec \"$0\" \"$@\"" ]
CMD [ "a" , "b" ]
RUN [ -f /etc/os-release ] && echo yes
