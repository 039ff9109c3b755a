/** The JSON examples of the source document, to the letter: spaces at line ends and comments included. */

export const threeProviders = `{
  "forwardProviders": [
    {
      "host": "smtp.primary.com",
      "port": 587,
      "username": "user@primary.com", 
      "password": "password1",
      "ssl": false,
      "priority": 0
    },
    {
      "host": "smtp.backup.com",
      "port": 587,
      "username": "user@backup.com",
      "password": "password2",
      "ssl": false,
      "priority": 1
    },
    {
      "host": "smtp.emergency.com",
      "port": 465,
      "username": "user@emergency.com",
      "password": "password3",
      "ssl": true,
      "priority": 2
    }
  ]
}
`;

export const gmail = `{
  "host": "smtp.gmail.com",
  "port": 587,
  "username": "your-email@gmail.com",
  "password": "your-app-password",
  "ssl": false,
  "priority": 0
}
`;

export const aliyun = `{
  "host": "smtp.qiye.aliyun.com", 
  "port": 465,
  "username": "your-name@your-domain.com",
  "password": "your-password",
  "ssl": true,
  "priority": 1
}
`;

export const amazonSes = `{
  "host": "email-smtp.us-east-1.amazonaws.com",
  "port": 587,
  "username": "YOUR_SES_SMTP_USERNAME",
  "password": "YOUR_SES_SMTP_PASSWORD",
  "ssl": false,
  "priority": 2
}
`;

export const oldForm = `{
  "forwardSMTP": true,              // 总开关，必须设为true才能启用转发
  "forwardHost": "smtp.example.com",
  "forwardPort": 587,
  "forwardUsername": "user@example.com",
  "forwardPassword": "password",
  "forwardSSL": false
}
`;

export const listOfOne = `{
  "forwardSMTP": true,              // 总开关，必须设为true才能启用转发
  "forwardProviders": [
    {
      "host": "smtp.example.com",
      "port": 587,
      "username": "user@example.com",
      "password": "password",
      "ssl": false,
      "priority": 0
    }
  ]
}
`;
