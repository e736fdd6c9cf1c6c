from alpine as Build
run echo hi
from Build
copy --from=BUILD /etc/hosts /h
