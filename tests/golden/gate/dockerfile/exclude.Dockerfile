FROM alpine
COPY --exclude=*.md --exclude=.git --parents ./a/./b /dst/
ADD --keep-git-dir=true --link . /x
