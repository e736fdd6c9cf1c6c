# check=skip=StageNameCasing;error=true
# escape=\
FROM alpine AS X
