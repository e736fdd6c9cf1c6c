# жпнд
FROM alpine
RUN echo Д╦╜Ф√┤
