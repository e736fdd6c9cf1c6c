FROM bash:5
RUN echo $((1<<4)) && cat <<< "here"
RUN echo "a << b" && sed 's/<<X>>/y/' f
