FROM "alpine":'3.19'
ENV A="x y" B='$A' C=d\ e
ENV OLD form with spaces
RUN echo "it's" 'a "b"' \"c\"
RUN ["sh", "-c", "echo \"<<EOF\""]
